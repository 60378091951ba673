"""A trial's pilot metric as its peers see it: the running best over the share of the budget spent."""

from __future__ import annotations

from bisect import bisect_right

from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation


class Curve:
    """The running best of one metric of one trial. Grows with every evaluation, idempotent by step.

    Attributes:
        number: of the trial.
        shares: of the budget spent at each evaluation, rising.
        bests: the best value up to and including each evaluation, oriented so that more is better.
        comparable: whether the trial may be compared at each evaluation: at the end of a cycle, or in the
            schedule's last phase. In mid-cycle a recall phase has not had its precision phase yet.
    """

    def __init__(self, number: int, schedule: LossSchedule, metric: str, sign: float) -> None:
        self.number = number
        self.shares: list[float] = []
        self.bests: list[float] = []
        self.comparable: list[bool] = []
        self._last_phase = len(schedule.unrolled()) - 1
        self._metric = metric
        self._sign = sign

    def add(self, evaluation: Evaluation) -> None:
        """Take an evaluation in, unless it is known already. A missing value changes nothing."""
        if self.shares and evaluation.share <= self.shares[-1]:
            return
        value = evaluation.metrics.get(self._metric)
        worst = float("-inf")
        best = self.bests[-1] if self.bests else worst
        self.shares.append(evaluation.share)
        self.bests.append(max(best, worst if value is None else self._sign * value))
        self.comparable.append(evaluation.cycle_ended or evaluation.phase >= self._last_phase)

    @property
    def share(self) -> float:
        """The share of the budget spent so far."""
        return self.shares[-1] if self.shares else 0.0

    @property
    def compared_before(self) -> float:
        """The share at which the trial could last be compared before its newest evaluation, or 0."""
        earlier = zip(self.shares[:-1], self.comparable[:-1], strict=True)
        return max((share for share, comparable in earlier if comparable), default=0.0)

    def best_at(self, share: float) -> float | None:
        """The running best at a share of the budget; None when the trial has not come as far."""
        if self.share < share:
            return None
        index = bisect_right(self.shares, share) - 1
        return self.bests[index] if index >= 0 else None

    def stagnant(self) -> int:
        """How many evaluations ago the running best last rose."""
        if not self.bests:
            return 0
        return len(self.bests) - 1 - self.bests.index(self.bests[-1])
