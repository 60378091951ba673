"""What a sweep's trials train on: a trainer for the workers, and what the driver must know of its data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lossweep.search.running.preflight import check_before_loading, check_before_training, check_confirmable
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import one_line
from lossweep.spaces.losses.terms import Loss
from lossweep.trainers.data.spec import SplitName
from lossweep.trainers.loop.checkpoint_storage import check_reachable

if TYPE_CHECKING:  # it pulls torch in, which simulations do without
    from lossweep.trainers.trial import TrialTrainer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """A trainer and its data's figures.

    Attributes:
        trainer: sent to every worker.
        prior: classes and their frequencies in the training masks.
        fingerprint: of the decoded data; a sweep goes on only over the data it began with.
        least_micro_batch: the smallest that its model can be trained with.
        gpu_share: what each trial is to hold of a GPU where its resources don't say, as was measured; None
            where it was not.
    """

    trainer: TrialTrainer
    prior: ClassPrior
    fingerprint: str = ""
    least_micro_batch: int = 1
    gpu_share: float | None = None


def segmentation(spec: SweepSpec, workspace: Workspace, confirms: bool = False) -> TrainingTask:
    """The task of real sweeps. Decodes the data into the workspace's cache, unless they are there already.

    Args:
        spec: the sweep.
        workspace: where.
        confirms: whether a confirmation is asked for, whatever the sweep file says.

    Raises:
        UserError: with everything that is wrong with the user's own losses and the files, or else with the
            store of the checkpoints, or else with the pixels, or else with the model.
    """
    from lossweep.trainers.loop.object_sizes import check_sizes
    from lossweep.trainers.losses import maps_needed
    from lossweep.trainers.trial import SegmentationTrainer

    check_before_loading(spec)
    kept = workspace.checkpoints(spec.name)
    check_reachable(kept)
    trainer = SegmentationTrainer(spec.data, workspace.cache, kept)
    data = trainer.data()
    evaluated: dict[SplitName, tuple[tuple[int, int], ...]] = {"val": data.val.sizes, "test": data.test.sizes}
    rehearsed = check_before_training(spec, data.prior, data.channels, evaluated)
    few = check_sizes(sorted(spec.steered_by), data.val, data.prior, spec.measure)
    for suspicion in (*data.suspicions, *rehearsed.suspicions, *few):
        log.warning("Suspicious: %s", one_line(suspicion))
    if confirms or spec.confirm is not None:
        check_confirmable(len(data.test))
    # Here once, before a machine's workers ask for them all at the same time.
    trainer = replace(trainer, maps=maps_needed(_losses(spec), data.prior))
    trainer.prepare()
    return TrainingTask(trainer, data.prior, data.fingerprint, rehearsed.least_micro_batch)


def _losses(spec: SweepSpec) -> Iterator[Loss]:
    """Those that any trial of the sweep may train with."""
    yield from spec.space.possible_losses()
    for schedule in (*spec.controls.baselines.values(), *spec.former_winners):
        yield from (phase.loss for phase in schedule.phases)
