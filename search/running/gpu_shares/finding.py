"""The share of a GPU that a sweep's trials hold where its file doesn't say: measured once on a machine."""

from __future__ import annotations

import json
import logging
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lossweep.search.conducting.plans import template_of
from lossweep.search.running.gpu_shares.choice import Choice, Measured, counts
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.canonical import key_of
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.source_code import source_digest

if TYPE_CHECKING:
    from lossweep.trainers.trial import SegmentationTrainer, TrialTrainer  # imports torch

log = logging.getLogger(__name__)


def share_of_a_gpu(
    spec: SweepSpec, workspace: Workspace, trainer: TrialTrainer, fingerprint: str
) -> float | None:
    """Find the share that each trial holds, and say how it was found.

    Args:
        spec: the sweep.
        workspace: what was measured is kept in its cache.
        trainer: what a worker gets.
        fingerprint: of the data.

    Returns:
        The share; None where there is nothing to choose: the file says, trials run one after the other, this
        machine has no GPU of NVIDIA's, or its cores don't suffice for two trials.
    """
    resources = spec.resources
    if resources.gpus_per_trial is not None or resources.runner != "tune":
        return None
    import torch

    from lossweep.trainers.gpu import card
    from lossweep.trainers.trial import SegmentationTrainer

    assert isinstance(trainer, SegmentationTrainer)
    found, cores = card(), os.cpu_count() or 1
    if found is None:
        return None
    gpus = torch.cuda.device_count()
    tried = counts(cores, resources.cpus_per_trial, gpus, resources.parallel, spec.budget.trials)
    if len(tried) == 1:
        return 1.0
    model = spec.model.architecture
    what = {
        "machine": (platform.node(), found, cores, torch.__version__),
        "tried": tried,
        "model": spec.model.model_dump(mode="json"),
        "code": source_digest(model) if ":" in model else "",
        "training": spec.training.model_dump(mode="json"),
        "data": (fingerprint, spec.data.tile),
    }
    file = workspace.cache / "gpu-shares" / f"{key_of(what)[:32]}.json"
    choice = _kept(file)
    if choice is None:
        choice = _measured(spec, workspace, trainer, found, tried, file)
    if choice is None:
        return None
    log.warning("%s", choice)
    return choice.share


def _measured(
    spec: SweepSpec,
    workspace: Workspace,
    trainer: SegmentationTrainer,
    card: str,
    tried: tuple[int, ...],
    file: Path,
) -> Choice | None:
    from lossweep.search.running.gpu_shares.measuring import WITHIN_S, measure
    from lossweep.search.running.gpu_shares.messages import Trial

    log.warning(
        "Measuring how many trials share a GPU well, for %.0f s at most; resources.gpus_per_trial spares it.",
        WITHIN_S,
    )
    plan = template_of(spec).plan(0, spec.seed, LossSchedule.parse("cross_entropy @1e-4 x1"))
    log_file = workspace.logs(spec.name) / "gpu-shares.log"
    rounds = measure(Trial(plan, trainer), tried, log_file=log_file, passed=spec.resources.environment)
    if rounds.note:
        log.warning("Not all could be measured: %s (see %s).", rounds.note, log_file)
    if not rounds.measured:
        return None
    choice = Choice(card, rounds.measured, rounds.short)
    if not rounds.note:
        _keep(file, choice)
    return choice


def _kept(file: Path) -> Choice | None:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return Choice(data["card"], tuple(Measured(**each) for each in data["measured"]), data["short"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, torn, or of another version
        return None


def _keep(file: Path, choice: Choice) -> None:
    """Keep what was measured, if the disk takes it: the next sweep would measure it again."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(choice)), encoding="utf-8")
    except OSError as error:
        log.warning("What was measured can't be kept: %s", error.strerror)
