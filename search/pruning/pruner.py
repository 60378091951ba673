"""The pruner of a sweep: its rule over all curves, and the audit that spares some trials."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from optuna.pruners import BasePruner

from lossweep.search.pruning.curves import Curve
from lossweep.search.pruning.imported import OptunaRule
from lossweep.search.pruning.rules import RULES, Patient, Rule
from lossweep.search.pruning.spec import PruningSpec
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
            self._curves[number].add(evaluation)

    def forget(self, number: int) -> None:
        """Leave a failed trial out of later comparisons: its curve says nothing of its schedule."""
        if self._curves.pop(number, None) is not None:
            del self._groups[self._group_of[number]][number]

    def take(self, number: int, evaluation: Evaluation) -> None:
        """Take an evaluation in that somebody else decides upon: others are compared with it."""
        self._curves[number].add(evaluation)

    def decide(self, number: int, evaluation: Evaluation) -> DecisionRecord:
        """Take an evaluation in and decide whether its trial continues, is pruned, or spared."""
        self.take(number, evaluation)
        curve = self._curves[number]
        if number in self._exempt:
            return DecisionRecord(evaluation.step, Decision.CONTINUE, "a control is never pruned")
        judgement = self._rule.judge(curve, _Others(self._groups[self._group_of[number]], number))
        figures = {
            key: self._sign * value if key in ("own", "cutoff", "median") else value
            for key, value in judgement.figures.items()
            if math.isfinite(value)  # a trial without the metric stands at minus infinity
        }
        if not judgement.prune:
            return DecisionRecord(evaluation.step, Decision.CONTINUE, judgement.reason, figures)
        reason = f"{self.metric}: {judgement.reason}"
        if self.audited(number):
            return DecisionRecord(
                evaluation.step, Decision.SPARE, f"{reason}; let go on as an audit", figures
            )
        return DecisionRecord(evaluation.step, Decision.PRUNE, reason, figures)

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
