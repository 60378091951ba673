"""What a sweep's trials train on: a trainer for the workers, and what the driver must know of its data."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lossweep.search.running.preflight import check_before_loading, check_before_training, check_confirmable
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import one_line
from lossweep.trainers.data.spec import SplitName

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
            pixels, or else with the model.
    """
    from lossweep.trainers.trial import SegmentationTrainer

    check_before_loading(spec)
    trainer = SegmentationTrainer(spec.data, workspace.cache, workspace.checkpoints(spec.name))
    data = trainer.data()
    evaluated: dict[SplitName, tuple[tuple[int, int], ...]] = {"val": data.val.sizes, "test": data.test.sizes}
    rehearsed = check_before_training(spec, data.prior, data.channels, evaluated)
    for suspicion in (*data.suspicions, *rehearsed.suspicions):
        log.warning("Suspicious: %s", one_line(suspicion))
    if confirms or spec.confirm is not None:
        check_confirmable(len(data.test))
    return TrainingTask(trainer, data.prior, data.fingerprint, rehearsed.least_micro_batch)
