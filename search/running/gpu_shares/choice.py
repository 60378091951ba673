"""How many trials train side by side on one GPU, chosen from what was measured of several numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COUNTS: Final = (1, 2, 4, 8)
"""Of trials side by side that are tried."""

ENOUGH: Final = 0.9
"""Of the most images a second: the fewest trials that reach it are chosen. Trials that run one after the
other learn from those before them, and each ends sooner."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What so many trials side by side did.

    Attributes:
        trials: how many.
        images_per_second: trained by all of them together.
        memory: bytes of the GPU that the largest took.
    """

    trials: int
    images_per_second: float
    memory: int


@dataclass(frozen=True, slots=True)
class Choice:
    """How many trials share a GPU, and why.

    Attributes:
        card: the GPU.
        measured: fewest trials first, at least one trial alone; none beyond what found no memory.
        short: whether the next count found no memory.
    """

    card: str
    measured: tuple[Measured, ...]
    short: bool = False

    @property
    def trials(self) -> int:
        """How many."""
        most = max(each.images_per_second for each in self.measured)
        return next(each.trials for each in self.measured if each.images_per_second >= ENOUGH * most)

    @property
    def share(self) -> float:
        """Of a GPU that each trial holds."""
        return 1.0 / self.trials

    def __str__(self) -> str:
        rates = ", ".join(
            f"{each.trials} {each.images_per_second:,.0f} ({each.memory / 2**30:.1f} GiB each)"
            for each in self.measured
        )
        no_more = f"; {2 * self.measured[-1].trials} find no memory" if self.short else ""
        what = "a trial" if self.trials == 1 else f"{self.trials} trials"
        return (
            f"Side by side on {self.card}, trials train so many images a second in all: {rates}{no_more}. "
            f"So {what} at a time on each GPU; resources.gpus_per_trial says otherwise."
        )


def counts(cores: float, cpus: float, gpus: int, parallel: int | None, trials: int) -> tuple[int, ...]:
    """Which counts are worth measuring on a machine.

    Args:
        cores: of the machine.
        cpus: cores a trial holds.
        gpus: of the machine.
        parallel: trials side by side on all of it, as the user says; None for as many as fit.
        trials: that there will be.
    """
    most = min(int(cores / cpus + 1e-6), trials, parallel or trials)
    each = -(-most // max(1, gpus))  # the fullest GPU's
    return tuple(count for count in COUNTS if count <= max(1, each))
