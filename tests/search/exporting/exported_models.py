"""Trained-looking weights of small models, and the schedule files they would be exported with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lossweep.search.exporting.operating import TrainedWeights
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.data.loading import load_data
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.models import build_model
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan

SMP = ModelSpec(encoder="tu-test_resnet", options={"encoder_depth": 3, "decoder_channels": (32, 16, 16)})
OWN = ModelSpec(architecture="card_model:build", options={"width": 4})
_MODULE = """\
from torch import nn


def build(in_channels, classes, width):
    return nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1), nn.Conv2d(width, classes, 1))
"""
_SCHEDULE = LossSchedule.parse("dice @1e-3 x2 | 2 epochs")
_SCORED = Evaluation(
    step=4, epoch=2, epochs=2, phase=0, cycle=0, loss_name="dice", learning_rate=1e-3, metrics={}
)
_TOLD: dict[str, Any] = {
    "data": "sha256:abc",
    "sweep": "cards",
    "trial": 3,
    "seed": 11,
    "lossweep": "0.1.0",
    "scores": {"tuned_f1": 0.61234},
    "threshold_of": "tuned_f1",
}


def exported_model(
    folder: Path, model: ModelSpec, *classes: str, **told: Any
) -> tuple[TrainedWeights, ScheduleFile]:
    """Weights of a model for as many classes, and their schedule.

    Args:
        folder: that data and the module of `OWN` are made in; the latter is to be on the path.
        model: `SMP` or `OWN`.
        classes: background first.
        told: more provenance.
    """
    (folder / "card_model.py").write_text(_MODULE)
    spec = ScenesSource(source="scenes", classes=classes, tile=64, train=2, val=1, test=1)
    data = load_data(spec, folder / "cache")
    plan = TrialPlan(3, 11, _SCHEDULE, spec, model, TrainingSpec(), GuardSpec(), MeasureSpec())
    network = build_model(model, data.prior, data.channels, 11).eval()
    *_, weight, bias = network.parameters()  # the head, which starts at the prior: all background
    torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(bias, -0.25)
    provenance = {**_TOLD, **told}
    exported = ScheduleFile(
        **dict(_SCHEDULE), threshold=0.4, logit_threshold=-0.25, classes=classes, provenance=provenance
    )
    return TrainedWeights(network, data, plan, _SCORED), exported
