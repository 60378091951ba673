"""The pruner of a sweep: its rule over all curves, and the audit that spares some trials."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from optuna.pruners import BasePruner

from lossweep.search.pruning.curves import Curve
from lossweep.search.pruning.imported import OptunaRule
from lossweep.search.pruning.rules import RULES, Judgement, Patient, Rule
from lossweep.search.pruning.spec import PruningSpec
from lossweep.search.pruning.waiting import Waiting
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.metric_names import higher_is_better
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.seeds import derived_share
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.imports import load_object


class _Others(Collection[Curve]):
    """The curves of a group but one's own. Most evaluations pass no rung, and then none is looked at."""

    def __init__(self, group: Mapping[int, Curve], own: int) -> None:
        self._group, self._own = group, own

    def __iter__(self) -> Iterator[Curve]:
        return (curve for number, curve in self._group.items() if number != self._own)

    def __len__(self) -> int:
        return len(self._group) - (self._own in self._group)

    def __contains__(self, curve: object) -> bool:
        return any(other is curve for other in self)


class Pruner:
    """Decides upon each evaluation whether its trial goes on.

    Args:
        spec: which rule, with its parameters.
        pilot: the metric compared when the spec names none.
        seed: the sweep's, for the audit.
    """

    def __init__(self, spec: PruningSpec, pilot: str, seed: int) -> None:
        self.metric = spec.metric or pilot
        self._sign = 1.0 if higher_is_better(self.metric) else -1.0
        self._rule = build_rule(spec)
        self._audit = spec.audit
        self._seed = seed
        self._pauses = spec.pauses
        self._waiting = Waiting()
        self._curves: dict[int, Curve] = {}
        self._exempt: set[int] = set()
        self._group_of: dict[int, str] = {}
        self._groups: defaultdict[str, dict[int, Curve]] = defaultdict(dict)

    def add_trial(
        self,
        number: int,
        schedule: LossSchedule,
        exempt: bool,
        evaluations: Iterable[Evaluation] = (),
        group: str = "",
    ) -> None:
        """Compare a trial from now on, with what it reported to earlier drivers.

        Trials are compared within their group alone; an exempt one is never ended.
        """
        if number not in self._curves:
            curve = Curve(number, schedule, self.metric, self._sign)
            self._group_of[number] = group
            self._curves[number] = self._groups[group][number] = curve
            if exempt:
                self._exempt.add(number)
        for evaluation in evaluations:
            self.take(number, evaluation)

    def forget(self, number: int) -> None:
        """Leave a failed trial out of later comparisons: its curve says nothing of its schedule."""
        if self._curves.pop(number, None) is not None:
            self._waiting.discard(number)
            del self._groups[self._group_of[number]][number]
            self._waiting.left_out(self._group_of[number])

    def take(self, number: int, evaluation: Evaluation) -> None:
        """Take an evaluation in that somebody else decides upon: others are compared with it."""
        curve = self._curves[number]
        before = curve.share
        curve.add(evaluation)
        self._waiting.came(self._group_of[number], before, curve.share)

    def pause(self, number: int) -> None:
        """Let a trial wait where it is; it is compared with the others as before."""
        self._waiting.add(self._group_of[number], self._curves[number])

    def unpause(self, number: int) -> None:
        """Let a trial wait no longer, if it does."""
        self._waiting.discard(number)

    def next_to_thaw(self) -> int | None:
        """Return the paused trial that the rule would let go on now; None for none.

        Those that came furthest come first, and of those the best.
        """
        return self._waiting.next(lambda number: not self._judged(number).prune)

    def reconsider(self, number: int, step: int) -> DecisionRecord:
        """Judge a paused trial against its peers of now: thawed, or pruned if it has to end now."""
        judgement = self._judged(number)
        action = Decision.PRUNE if judgement.prune else Decision.THAW
        return DecisionRecord(step, action, f"{self.metric}: {judgement.reason}", judgement.figures)

    def decide(self, number: int, evaluation: Evaluation) -> DecisionRecord:
        """Take an evaluation in and decide whether its trial continues, is paused, pruned, or spared."""
        self.take(number, evaluation)
        if number in self._exempt:
            return DecisionRecord(evaluation.step, Decision.CONTINUE, "a control is never pruned")
        judgement = self._judged(number)
        reason, figures = f"{self.metric}: {judgement.reason}", judgement.figures
        if not judgement.prune:
            return DecisionRecord(evaluation.step, Decision.CONTINUE, judgement.reason, figures)
        if self.audited(number):
            return DecisionRecord(
                evaluation.step, Decision.SPARE, f"{reason}; let go on as an audit", figures
            )
        action = Decision.PAUSE if self._pauses else Decision.PRUNE
        return DecisionRecord(evaluation.step, action, reason, figures)

    def _judged(self, number: int) -> Judgement:
        """What the rule says of a trial at its newest evaluation, with figures as the metric has them."""
        others = _Others(self._groups[self._group_of[number]], number)
        judgement = self._rule.judge(self._curves[number], others)
        figures = {
            key: self._sign * value if key in ("own", "cutoff", "median") else value
            for key, value in judgement.figures.items()
            if math.isfinite(value)  # a trial without the metric stands at minus infinity
        }
        return Judgement(judgement.prune, judgement.reason, figures)

    def audited(self, number: int) -> bool:
        """Whether this trial would be let go on if the rule wanted it pruned: by seed and number alone."""
        return derived_share(self._seed, "audit", number) < self._audit


def build_rule(spec: PruningSpec) -> Rule:
    """Return the rule a spec describes.

    Raises:
        UserError: when an imported pruner cannot be imported or built, or is none.
    """
    if (build := RULES.get(spec.pruner)) is not None:
        rule: Rule = build(spec)
    else:
        rule = OptunaRule(_imported_pruner(spec.pruner, spec.parameters))
    return rule if spec.patience is None else Patient(rule, spec.patience)


def _imported_pruner(path: str, parameters: dict[str, Any]) -> BasePruner:
    try:
        pruner = load_object(path, "pruning.pruner")(**parameters)
    except UserError:
        raise
    except Exception as error:  # an imported one may raise whatever it likes
        hint = f"{type(error).__name__}: {error}"
        problem = Problem("cannot be built", key="pruning.parameters", found=str(parameters), hint=hint)
        raise UserError(problem) from error
    if not isinstance(pruner, BasePruner):
        raise UserError(Problem("is not an Optuna pruner", key="pruning.pruner", found=path))
    return pruner
