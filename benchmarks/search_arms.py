"""The ways to search that ``search.py`` and ``replay.py`` compare: each a sampler, a pruner, and a memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import optuna

from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.trainers.scoring.objectives import ObjectiveSpec

OBJECTIVE: Final = ObjectiveSpec(use_case="balanced")
EPOCHS: Final = 12
SLOTS: Final = 8
TRIALS: Final = 48
SMALL: Final = (16, 24, 32)


class StockAsha(optuna.pruners.SuccessiveHalvingPruner):
    """ASHA as usually wired: from the first epoch on, a quarter goes on; steps are percent of the budget."""

    def __init__(self) -> None:
        super().__init__(min_resource=8, reduction_factor=4)


ONE_EPOCH: Final = "one-epoch"
"""Not a sampler: many at random for an epoch, the best to the end (Egele et al., arXiv 2307.15422)."""
NOTHING_PRUNED: Final = PruningSpec(pruner="none")
RUNGS: Final = PruningSpec(pause=False)
PAUSING: Final = PruningSpec(pause=True)
EARLY: Final = PruningSpec(rungs=(1 / EPOCHS, 0.25, 0.5), keep=1 / 3)
"""From the first epoch on, a third goes on: many schedules are looked at for little each."""
ASHA: Final = PruningSpec(pruner=f"{__name__}:StockAsha", metric="f1", min_peers=1, audit=0.0)


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to search.

    Attributes:
        sampler: what proposes.
        pruning: what ends trials early.
        keeps: whether prefixes are kept; then all trials have one seed, and otherwise each its own.
        parameters: of the sampler.
        startup: proposals before the sampler models anything.
        registry: a folder of OptunaHub packages to take the sampler from.
        refill: whether the epochs that it saves go to further trials.
    """

    sampler: str
    pruning: PruningSpec = NOTHING_PRUNED
    keeps: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    startup: int = 10
    registry: str | None = None
    refill: bool = False

    @property
    def proposing(self) -> SamplerSpec:
        """The sampler as a sweep file would have it; it waits for results, so that runs can be repeated."""
        return SamplerSpec(
            sampler=self.sampler,
            startup=self.startup,
            ahead=False,
            parameters=dict(self.parameters),
            registry=self.registry,
        )


OURS: Final = Arm("cost_aware", PAUSING, keeps=True)
ARMS: Final[Mapping[str, Arm]] = {
    "random": Arm("random"),
    "random + cache": Arm("random", keeps=True),
    "One-Epoch": Arm(ONE_EPOCH),
    "TPE, stock": Arm("tpe"),
    "TPE + cache": Arm("tpe", keeps=True),
    "TPE + rungs": Arm("tpe", RUNGS),
    "stock ASHA": Arm("random", ASHA),
    "ours": OURS,
    "ours, refilled": replace(OURS, refill=True),
    "ours, refilled, early rung": replace(OURS, refill=True, pruning=EARLY),
    "ours, costs ignored": replace(OURS, sampler="tpe"),
    "ours, nothing kept": replace(OURS, keeps=False, parameters={"shared": False}),
    "ours, pruned rather than paused": replace(OURS, pruning=RUNGS),
    "ours, no rungs": replace(OURS, pruning=NOTHING_PRUNED),
    "ours, no prior": replace(OURS, parameters={"prior": False}),
}
SMALL_ARMS: Final = (
    "random",
    "One-Epoch",
    "TPE, stock",
    "TPE + rungs",
    "ours",
    "ours, refilled",
    "ours, refilled, early rung",
)
