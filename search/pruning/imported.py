"""Any Optuna pruner as a rule, on a shadow study of the pilot metric.

The sweep's own study holds the objective's values, and one with several objectives cannot report at all. So
the pruner sees a study in memory whose trials report the running best of the pilot, with the percentage of
the budget spent as the step: ``n_warmup_steps=30`` means the first 30 % of a trial.
"""

from __future__ import annotations

from collections.abc import Collection

import optuna
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from lossweep.search.pruning.curves import Curve
from lossweep.search.pruning.rules import Judgement


class OptunaRule:
    """Asks an Optuna pruner. Trials appear in its study in the order they are first judged or seen."""

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner = pruner
        self._study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner
        )
        self._trials: dict[int, optuna.Trial] = {}
        self._reported: dict[int, int] = {}
        self._ended: set[int] = set()

    def judge(self, trial: Curve, peers: Collection[Curve]) -> Judgement:
        """Report what is new of all trials, then ask the pruner about this one."""
        for curve in sorted((*peers, trial), key=lambda curve: curve.number):
            self._follow(curve)
        if not trial.comparable[-1] or trial.share >= 1.0:
            return Judgement(False, "not compared at this share")
        name = type(self._pruner).__name__
        figures = {"share": trial.share, "own": trial.bests[-1]}
        if self._trials[trial.number].should_prune():
            return Judgement(True, f"{name} on the running best {abs(trial.bests[-1]):.4g}", figures)
        return Judgement(False, f"{name} lets it go on", figures)

    def _follow(self, curve: Curve) -> None:
        if curve.number in self._ended:
            return
        if curve.number not in self._trials:
            self._trials[curve.number] = self._study.ask()
        trial = self._trials[curve.number]
        known = self._reported.get(curve.number, 0)
        for share, best in zip(curve.shares[known:], curve.bests[known:], strict=True):
            trial.report(best, step=round(100 * share))
        self._reported[curve.number] = len(curve.shares)
        if curve.share >= 1.0 and curve.bests:
            self._study.tell(trial, curve.bests[-1], state=TrialState.COMPLETE)
            self._ended.add(curve.number)
