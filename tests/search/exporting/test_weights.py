"""Weights leave with a card that says what they are, and code on it that loads them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from lossweep.search.exporting.operating import TrainedWeights
from lossweep.search.exporting.weights import card_of, model_card, write_weights
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
MODULE = """\
from torch import nn


def build(in_channels, classes, width):
    return nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1), nn.Conv2d(width, classes, 1))
"""
SCHEDULE = LossSchedule.parse("dice @1e-3 x2 | 2 epochs")
SCORED = Evaluation(
    step=4, epoch=2, epochs=2, phase=0, cycle=0, loss_name="dice", learning_rate=1e-3, metrics={}
)
TOLD: dict[str, Any] = {
    "data": "sha256:abc",
    "sweep": "cards",
    "trial": 3,
    "seed": 11,
    "lossweep": "0.1.0",
    "scores": {"tuned_f1": 0.61234},
    "threshold_of": "tuned_f1",
}


@pytest.fixture
def made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[TrainedWeights, ScheduleFile]]:
    """Weights of a model for as many classes, and their schedule."""
    (tmp_path / "card_model.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)

    def made(model: ModelSpec, *classes: str, **told: Any) -> tuple[TrainedWeights, ScheduleFile]:
        spec = ScenesSource(source="scenes", classes=classes, tile=64, train=2, val=1, test=1)
        data = load_data(spec, tmp_path / "cache")
        training, guards, measure = TrainingSpec(), GuardSpec(), MeasureSpec()
        plan = TrialPlan(3, 11, SCHEDULE, spec, model, training, guards, measure)
        network = build_model(model, data.prior, data.channels, 11).eval()
        *_, weight, bias = network.parameters()  # the head, which starts at the prior: all background
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
        torch.nn.init.constant_(bias, -0.25)
        points = {"threshold": 0.4, "logit_threshold": -0.25}
        provenance = {**TOLD, **told}
        exported = ScheduleFile(**dict(SCHEDULE), **points, classes=classes, provenance=provenance)
        return TrainedWeights(network, data, plan, SCORED), exported

    return made


@pytest.mark.parametrize("model", [SMP, OWN], ids=["smp", "own"])
@pytest.mark.parametrize("classes", [("background", "vehicle"), ("background", "vehicle", "truck")], ids=len)
def test_the_code_on_the_card_loads_the_weights_and_predicts(
    model: ModelSpec, classes: tuple[str, ...], made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, exported = made(model, *classes)
    card = write_weights(tmp_path / "best.safetensors", weights, exported)
    assert card == card_of(tmp_path / "best.safetensors") == tmp_path / "best.md"
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", card.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    images = torch.randn(2, weights.data.channels, 64, 64, generator=torch.Generator().manual_seed(0))
    names: dict[str, Any] = {"images": images}
    exec(code, names)
    with torch.no_grad():
        logits = weights.model(images)
    expected = logits.argmax(dim=1) if len(classes) > 2 else logits[:, 0] >= -0.25
    assert torch.equal(names["mask"], expected)
    assert len(expected.unique()) > 1, "else any code would do"
    with safe_open(tmp_path / "best.safetensors", "pt") as file:
        said = file.metadata()
        assert json.loads(said.pop("lossweep"))["normalization"]["mean"]
        assert said == {
            "format": "pt",
            "threshold": "-0.25",
            "classes": ",".join(classes),
            "schedule": "dice @1e-3 x2 | 2 epochs",
        }


def test_the_card_says_what_the_weights_are(made: Any) -> None:
    weights, exported = made(SMP, "background", "vehicle")
    card = model_card("best.safetensors", weights, exported)
    normalization = weights.data.val.normalization
    mean, std = normalization.mean, normalization.std
    rows = dict(re.findall(r"^\| ([^|]+) \| (.*) \|$", card, re.MULTILINE))
    assert card.startswith("# Unet for vehicle\n")
    assert rows["model"] == ("Unet of segmentation-models-pytorch, encoder tu-test_resnet, from scratch")
    assert rows["input"].startswith("3 bands, each normalized: (x - mean) / std, mean (")
    assert f"mean ({mean[0]:.6g}, " in rows["input"]
    assert rows["input"].endswith(f"{std[-1]:.6g})")
    assert rows["classes"] == "background, vehicle"
    assert rows["threshold"] == "-0.25 on logits, 0.4 as a probability (tuned_f1)"
    assert rows["trained with"] == "`dice @1e-3 x2 | 2 epochs`"
    assert rows["from"] == "sweep cards, trial 3, seed 11, lossweep 0.1.0"
    assert rows["tuned_f1"] == "0.6123"
    assert "(epoch 2)" in card
    assert "unconfirmed: it was chosen by this one seed's validation score" in card


def test_the_card_says_what_was_confirmed(made: Any) -> None:
    told = {"verdict": {"sentence": "It beats the control."}}
    own = {"n": 3, "metric": "tuned_f1", "mean": 0.5, "deviation": 0.0125}
    once = {**own, "n": 1}
    del once["deviation"]
    classes = ("background", "vehicle", "truck")
    weights, _ = made(OWN, *classes)
    cards = []
    for confirmed in (own, once, None):
        more = told if confirmed is None else {**told, "confirmed": confirmed}
        cards.append(
            model_card("w.safetensors", weights, made(OWN, "background", "vehicle", "truck", **more)[1])
        )
    said = "this schedule has tuned_f1 0.500"
    assert (
        f"It beats the control. Trained 3 times with fresh seeds, {said} ± 0.013 on the test split."
        in cards[0]
    )
    assert f"Trained 1 times with fresh seeds, {said} on the test split." in cards[1]
    assert "It beats the control.\n" in cards[2]
    assert "| threshold | none: the likeliest class is predicted |" in cards[0]
    assert "| model | `card_model:build` |" in cards[0]
    pretrained = replace(
        weights, plan=replace(weights.plan, model=SMP.model_copy(update={"weights": "imagenet"}))
    )
    assert "encoder weights before training: imagenet" in model_card("w", pretrained, made(SMP, "a", "b")[1])
