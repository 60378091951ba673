"""What a sweep calls good: a use case or spelled-out metrics, and constraints; and how a trial is scored.

A trial's score is taken at *one* evaluation, the best among the ends of its cycles and its last epoch: never
from a moment in mid-cycle, when a recall phase has not yet been cleaned up. The same evaluation supplies the
checkpoint that is exported, and the threshold (`trainers.scoring.operating_points`). Use cases steer by
figures that hold at a threshold of the trial's own: at 0.5, losses differ mostly by where they put their
threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from lossweep.spaces.losses.terms import Frozen
from lossweep.spaces.metric_names import MetricName, higher_is_better, parametric_name
from lossweep.trainers.evaluation import Evaluation

UseCase = Literal["counting", "needle", "no_false_alarms", "balanced"]

PILOT = "ap"
"""The threshold-free metric that trials are pruned on unless another is named."""

_FLOORS: Mapping[str, float] = {"needle": 0.2, "no_false_alarms": 0.5}


class Constraint(Frozen):
    """A level that a metric must reach, at the evaluation the score is taken from.

    Attributes:
        metric: its name (`spaces.metric_names`).
        at_least: the least it may be.
        at_most: the most it may be.
    """

    metric: MetricName
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_level(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("a constraint needs either at_least or at_most")
        return self

    def violation(self, metrics: Mapping[str, float]) -> float:
        """Return how far the level is missed: positive when violated, 1 when the metric was not measured."""
        value = metrics.get(self.metric)
        if value is None:
            return 1.0
        return self.at_least - value if self.at_least is not None else value - (self.at_most or 0.0)

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"{self.metric} >= {self.at_least:g}"
        return f"{self.metric} <= {self.at_most:g}"


class ObjectiveSpec(Frozen):
    """What stands under ``objective:``: a use case, one metric, or several of them.

    Attributes:
        use_case: ``counting`` (object F1 at the tuned threshold), ``needle`` (the highest recall whose
            precision is at least ``floor``), ``no_false_alarms`` (the highest precision whose recall is at
            least ``floor``) or ``balanced`` (F1 at the tuned threshold).
        floor: of ``needle`` (precision, 0.2 by default) and ``no_false_alarms`` (recall, 0.5 by default).
        metric: one metric, instead of a use case.
        metrics: two or three metrics whose Pareto front is sought, instead of a use case.
        constraints: levels the winner must keep.
        pilot: the metric trials are compared on while they run.
    """

    use_case: UseCase | None = None
    floor: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    metric: MetricName | None = None
    metrics: Annotated[tuple[MetricName, ...], Field(min_length=2, max_length=3)] | None = None
    constraints: tuple[Constraint, ...] = ()
    pilot: MetricName = PILOT

    @field_validator("metrics")
    @classmethod
    def _different(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names and len(set(names)) < len(names):
            raise ValueError(f"metrics must differ, but got {names}")
        return names

    @model_validator(mode="after")
    def _one_objective(self) -> Self:
        given = [key for key in ("use_case", "metric", "metrics") if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise ValueError(f"give one of use_case, metric or metrics, but got {found}")
        if self.floor is not None and self.use_case not in _FLOORS:
            raise ValueError("floor belongs to the use cases needle and no_false_alarms")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics to optimize, the first one leading."""
        if self.metrics is not None:
            return self.metrics
        if self.metric is not None:
            return (self.metric,)
        match self.use_case:
            case "counting":
                return ("tuned_object_f1",)
            case "needle":
                return (parametric_name("recall_at_precision", self._floor),)
            case "no_false_alarms":
                return (parametric_name("precision_at_recall", self._floor),)
            case _:
                return ("tuned_f1",)

    @property
    def _floor(self) -> float:
        return self.floor if self.floor is not None else _FLOORS.get(self.use_case or "", 0.0)

    @property
    def directions(self) -> tuple[Literal["maximize", "minimize"], ...]:
        """One a metric, as Optuna spells it."""
        return tuple("maximize" if higher_is_better(name) else "minimize" for name in self.names)

    @property
    def named(self) -> Mapping[str, str]:
        """The metrics that the file spells out, by the keys they stand at."""
        named = {"metric": self.metric} if self.metric is not None else {}
        named |= {f"metrics[{index}]": name for index, name in enumerate(self.metrics or ())}
        named |= {f"constraints[{index}].metric": each.metric for index, each in enumerate(self.constraints)}
        return {**named, "pilot": self.pilot}

    @property
    def watched(self) -> tuple[str, ...]:
        """Every metric this objective needs measured: scored, constrained, compared or shown beside."""
        beside = ("tuned_count_error",) if self.use_case == "counting" else ()
        named = (*self.names, *(constraint.metric for constraint in self.constraints), self.pilot, *beside)
        return tuple(dict.fromkeys(named))

    def __str__(self) -> str:
        wanted = ", ".join(self.names)
        if self.use_case:
            wanted += f" (use case {self.use_case})"
        return " and ".join([wanted, *map(str, self.constraints)])


@dataclass(frozen=True, slots=True)
class Score:
    """A trial's score: the evaluation it was taken from, and what that holds.

    Attributes:
        values: one a metric of the objective, in its order.
        violations: by constraint; positive when violated.
        evaluation: where in training it was taken; its checkpoint is the trial's.
    """

    values: tuple[float, ...]
    violations: Mapping[str, float]
    evaluation: Evaluation

    @property
    def feasible(self) -> bool:
        """Whether every constraint is met."""
        return all(violation <= 0.0 for violation in self.violations.values())

    @property
    def excess(self) -> float:
        """The sum of what is violated; 0 when feasible."""
        return sum(max(0.0, violation) for violation in self.violations.values())


def score(objective: ObjectiveSpec, evaluations: Sequence[Evaluation]) -> Score | None:
    """Return a trial's score so far, or None when no evaluation holds the objective's metrics.

    Feasible evaluations come before infeasible ones, and of these the ones that miss less. Then the better
    leading metric wins (with several metrics: the better pilot, and where that ties the first of them that
    differs), then the earlier evaluation. A trial that ended before its first cycle did is scored over what
    it has.
    """
    measured = [e for e in evaluations if all(name in e.metrics for name in objective.names)]
    at_ends = [e for e in measured if e.cycle_ended or e.finished]
    lead = objective.names[0] if len(objective.names) == 1 else objective.pilot
    deciding = (lead, *objective.names)
    signs = [1.0 if higher_is_better(name) else -1.0 for name in deciding]
    scores = [
        Score(
            values=tuple(e.metrics[name] for name in objective.names),
            violations={str(c): c.violation(e.metrics) for c in objective.constraints},
            evaluation=e,
        )
        for e in (at_ends or measured)
    ]

    def merit(scored: Score) -> tuple[float, ...]:
        found = [scored.evaluation.metrics.get(name) for name in deciding]
        named = zip(signs, found, strict=True)
        return -scored.excess, *(-math.inf if value is None else s * value for s, value in named)

    return max(scores, key=merit, default=None)


def pareto_front(objective: ObjectiveSpec, values: Mapping[int, Sequence[float]]) -> tuple[int, ...]:
    """Return the trials whose values no other trial beats in every metric, in order of number."""
    signs = [1.0 if direction == "maximize" else -1.0 for direction in objective.directions]
    signed = {n: tuple(s * x for s, x in zip(signs, v, strict=True)) for n, v in values.items()}

    def dominated(own: tuple[float, ...]) -> bool:
        return any(
            other != own and all(theirs >= mine for theirs, mine in zip(other, own, strict=True))
            for other in signed.values()
        )

    return tuple(number for number, own in sorted(signed.items()) if not dominated(own))
