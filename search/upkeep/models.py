"""A training of a sweep as a model in use: its weights, with the threshold that it is exported with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lossweep.search.exporting.choice import Chosen
from lossweep.search.exporting.operating import AskedPoint, TrainedWeights, weights_of
from lossweep.search.exporting.weights import segmenter_spec
from lossweep.search.study.history import SweepHistory
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.upkeep.export import export
from lossweep.search.workspace import Workspace
from lossweep.spaces.schedules.schedule_file import ScheduleFile

if TYPE_CHECKING:
    import torch

    from lossweep.trainers.inference.segmenter import Precision, Segmenter


@dataclass(frozen=True, slots=True)
class SweepModel:
    """What `lossweep export` would write, as a model in use.

    Attributes:
        segmenter: predicts.
        chosen: which training of the sweep, and why.
        exported: its schedule file, with where it comes from.
        weights: the model with the data and the plan it was trained by.
    """

    segmenter: Segmenter
    chosen: Chosen
    exported: ScheduleFile
    weights: TrainedWeights


def model_of(
    history: SweepHistory,
    chosen: Chosen,
    spec: SweepSpec,
    workspace: Workspace,
    at: AskedPoint | None = None,
    *,
    precision: Precision = "float32",
    device: torch.device | str | None = None,
) -> SweepModel:
    """Load a chosen training of a sweep, as `lossweep export` chooses it.

    Args:
        history: the sweep.
        chosen: from `search.exporting.choice.choose`.
        spec: of the sweep.
        workspace: where its checkpoints and data lie.
        at: the operating point asked for, instead of the objective's.
        precision: see `Segmenter.of`.
        device: the GPU, when there is one, when None.

    Raises:
        UserError: the training was not scored, its checkpoint is gone, or the data have changed since.
    """
    from lossweep.trainers.inference.segmenter import Segmenter

    exported = export(history, chosen, at)
    weights = weights_of(chosen.trial, spec, workspace)
    segmenter = Segmenter.of(
        weights.model, segmenter_spec(weights, exported), precision=precision, device=device
    )
    return SweepModel(segmenter, chosen, exported, weights)
