"""What a runner steps: a trainer that holds the data of its process and trains any number of trials on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.spec import DataSpec
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop.checkpoint_storage import Place
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import TrialPlan


class TrialTrainer(Protocol):
    """Trains trials, one after another, in one process. Picklable, so that a runner can send it there."""

    def prepare(self) -> None:
        """Load what all trials share, in the process that trains, before the first trial; idempotent."""

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Train one trial, going on where it or its prefix stood; the recorded evaluations come first.

        Whoever steps this stops it between two evaluations, by closing it, so that none is lost.
        """


@dataclass(frozen=True, slots=True)
class SegmentationTrainer:
    """The `TrialTrainer` of real sweeps.

    Attributes:
        data_spec: where images and masks come from.
        cache: folder of the decoded data.
        checkpoints: where checkpoints are kept; None keeps none.
        maps: what the losses of the trials ask for of what follows from the masks (`trainers.maps`).
    """

    data_spec: DataSpec
    cache: Path
    checkpoints: Place | None
    maps: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Load the data and what follows from their masks, unless this process has them already."""
        self.data().train.prepare(self.maps)

    def data(self) -> SegmentationData:
        """The data, loaded once a process however many trainers there are."""
        return _loaded(self.data_spec, self.cache)

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Train one trial."""
        store = CheckpointStore(self.checkpoints) if self.checkpoints else None
        return train(plan, self.data(), store)


_LOADED: dict[tuple[str, str], SegmentationData] = {}


def _loaded(spec: DataSpec, cache: Path) -> SegmentationData:
    """One data set a process: a runner may send a fresh trainer, without data, with every trial."""
    key: tuple[str, str] = (spec.model_dump_json(), str(cache))
    if key not in _LOADED:
        _LOADED.clear()
        _LOADED[key] = load_data(spec, cache)
    return _LOADED[key]
