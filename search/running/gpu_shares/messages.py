"""What passes between whoever measures and the processes that train for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lossweep.trainers.plan import TrialPlan

if TYPE_CHECKING:
    from lossweep.trainers.trial import (
        SegmentationTrainer,  # imports torch, which whoever asks can do without
    )

READY = "ready"


@dataclass(frozen=True, slots=True)
class Trial:
    """What is trained, on what, for how many seconds a round."""

    plan: TrialPlan
    trainer: SegmentationTrainer
    seconds: float = 4.0


@dataclass(frozen=True, slots=True)
class Pace:
    """What came of a round.

    Attributes:
        images_per_second: trained.
        memory: bytes that torch took of the GPU at most.
    """

    images_per_second: float
    memory: int


@dataclass(frozen=True, slots=True)
class Short:
    """There was no memory."""
