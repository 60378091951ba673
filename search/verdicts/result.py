"""What a confirmation comes to: each leader against the control, taken apart; and the simplest that does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lossweep.search.study.confirmation import Arm, Confirmation, Role
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.ranking import Tried
from lossweep.search.verdicts import images
from lossweep.search.verdicts.paired import PairedDifference, paired
from lossweep.search.verdicts.simplicity import complexity
from lossweep.search.verdicts.verdict import Judged, Verdict, credited, judge
from lossweep.spaces.metric_names import higher_is_better
from lossweep.trainers.evaluation import HeldOutScore
from lossweep.trainers.scoring.operating_points import held_out_metric


@dataclass(frozen=True, slots=True)
class ArmScores:
    """What one arm scored on the test split.

    Attributes:
        arm: which.
        scores: by the index of the seed; a diverged training scores the worst there is.
        diverged: how many of them diverged.
        failed: trainings that failed and have no score: the seed says nothing of this arm.
        readings: what was read, by the index of the seed.
    """

    arm: Arm
    scores: Mapping[int, float]
    diverged: int = 0
    failed: int = 0
    readings: Mapping[int, HeldOutScore] = field(default_factory=dict)

    @property
    def values(self) -> tuple[float, ...]:
        """The scores in order of the seeds."""
        return tuple(self.scores[seed] for seed in sorted(self.scores))

    def of(self, name: str) -> ArmScores:
        """The same arm by another figure of the test split, over the seeds that have it."""
        known = {seed: r.metrics[name] for seed, r in self.readings.items() if name in r.metrics}
        return replace(self, scores=known)

    @property
    def summary(self) -> PairedDifference:
        """The scores as values with a mean and a spread."""
        return PairedDifference(self.values)


@dataclass(frozen=True, slots=True)
class LeaderResult:
    """One leader against the control, and against what it is made of.

    Attributes:
        scores: the leader's.
        judged: against the control, adjusted for the number of leaders; no beating that its rates explain.
        image_interval: of the same difference when the test images are drawn anew; None for figures that are
            no sums over images, such as AP.
        loss: what the leader has over its rates and lengths with plain cross-entropy; None where it has none.
        rates: what these have over the control; None likewise.
        switching: what the leader has over its first phase alone; None for a single phase.
        one_loss: what it has over its phases with one loss; None where it equals another arm.
    """

    scores: ArmScores
    judged: Judged
    image_interval: tuple[float, float] | None = None
    loss: PairedDifference | None = None
    rates: PairedDifference | None = None
    switching: PairedDifference | None = None
    one_loss: PairedDifference | None = None


@dataclass(frozen=True, slots=True)
class SweepVerdict:
    """What a sweep's confirmation says.

    Attributes:
        metric: the objective's metric.
        held_out: the figure of the test split that stands for it.
        direction: ``maximize`` or ``minimize``.
        control: the control's scores.
        leaders: the leaders, best of the search first.
        arms: all arms, ablations included.
        seeds: planned.
        complete: whether all trainings have ended.
        margin: a difference that nobody minds.
        tried: how many schedules the search tried on each side.
        reads_before: how often earlier confirmations had read the test split.
        test_images: how many images the test split has.
        later: of an objective of several metrics, the figures of the test split that stand for the later
            ones, each with 1 where more is better and -1 where less is.
    """

    metric: str
    held_out: str
    direction: str
    control: ArmScores
    leaders: tuple[LeaderResult, ...]
    arms: tuple[ArmScores, ...]
    seeds: int
    complete: bool
    margin: float
    tried: Tried
    reads_before: int
    test_images: int
    later: tuple[tuple[str, float], ...] = ()

    @property
    def sign(self) -> float:
        """1 where more is better, -1 where less is."""
        return 1.0 if self.direction == "maximize" else -1.0

    @property
    def best(self) -> ArmScores:
        """The arm with the best mean; of equals that of the better means of later metrics, or the simpler."""
        scored = [arm for arm in self.arms if arm.scores]
        return max(scored, key=lambda arm: (self._merit(arm), _simple(arm)))

    @property
    def simplest(self) -> ArmScores:
        """The simplest arm that the seeds cannot tell from the best: ties go to the simpler schedule.

        Of several metrics in none of them: what ties in the first and is worse in another is no tie.
        One of which a training diverged is none of them: its spread hides everything.
        """
        best = self.best
        steady = [arm for arm in self.arms if arm.scores and not arm.diverged] or [best]
        alike = [arm for arm in steady if not self._worse(arm, best)] or [best]
        return max(alike, key=lambda arm: (_simple(arm), self._merit(arm)))

    @property
    def headline(self) -> LeaderResult:
        """The leader that the sentence is about: the one with the best mean."""
        return max(self.leaders, key=lambda leader: self._merit(leader.scores))

    def _worse(self, arm: ArmScores, best: ArmScores) -> bool:
        """Whether the seeds tell that an arm is worse than the best in any metric of the objective."""
        if arm is best:
            return False
        pairs = [(best, arm, self.sign)]
        pairs += [(best.of(name), arm.of(name), sign) for name, sign in self.later]
        differences = [found for pair in pairs if (found := between(*pair)) is not None]
        judged = [judge([difference], self.margin)[0].verdict for difference in differences]
        return Verdict.BEATS in judged

    def _merit(self, arm: ArmScores) -> tuple[float, ...]:
        """The means of all metrics in their order, as more is better; what was not measured is worst."""
        told = ((arm, self.sign), *((arm.of(name), sign) for name, sign in self.later))
        return tuple(sign * one.summary.mean if one.scores else -math.inf for one, sign in told)


def verdict_of(history: SweepHistory) -> SweepVerdict | None:
    """Return what a sweep's newest confirmation says; None before every arm has a score in two seeds."""
    confirmation = history.confirmation
    if confirmation is None:
        return None
    plan = confirmation.plan
    sign = 1.0 if history.direction == "maximize" else -1.0
    arms = tuple(_scores(confirmation, arm, sign) for arm in plan.arms)
    by_arm = {scores.arm: scores for scores in arms}
    control = by_arm[plan.control]
    against = [between(by_arm[leader], control, sign) for leader in plan.leaders]
    differences = [difference for difference in against if difference is not None]
    if len(differences) < len(plan.leaders):
        return None
    name = held_out_metric(history.metric)
    results = []
    for leader, judged in zip(plan.leaders, judge(differences, plan.margin), strict=True):
        own = by_arm[leader]
        parts = {role: _arm(by_arm, plan.ablation(leader, role)) for role in Role}
        rates, first, one = parts[Role.RATES_ALONE], parts[Role.FIRST_PHASE_ALONE], parts[Role.ONE_LOSS]
        results.append(
            LeaderResult(
                scores=own,
                judged=credited(judged, between(own, rates, sign), plan.margin),
                image_interval=_image_interval(own, control, name, sign),
                loss=between(own, rates, sign),
                rates=between(rates, control, sign),
                switching=between(own, first, sign),
                one_loss=between(own, one, sign),
            )
        )
    readings = [reading for scores in arms for reading in scores.readings.values()]
    return SweepVerdict(
        metric=history.metric,
        held_out=name,
        direction=history.direction,
        control=control,
        leaders=tuple(results),
        arms=arms,
        seeds=plan.seeds,
        complete=confirmation.complete,
        margin=plan.margin,
        tried=history.tried(),
        reads_before=plan.reads_before,
        test_images=len(readings[0].pixels) if readings else 0,
        later=tuple((held_out_metric(name), _sign(name)) for name in history.later_metrics),
    )


def between(first: ArmScores | None, second: ArmScores | None, sign: float) -> PairedDifference | None:
    """Return the differences of two arms over the seeds that both have; None for fewer than two of them."""
    if first is None or second is None:
        return None
    seeds = sorted(first.scores.keys() & second.scores.keys())
    if len(seeds) < 2:
        return None
    return paired([first.scores[seed] for seed in seeds], [second.scores[seed] for seed in seeds], sign)


def _scores(confirmation: Confirmation, arm: Arm, sign: float) -> ArmScores:
    trials = confirmation.of(arm.schedule, arm.baseline)
    mine = {seed: trial for seed, trial in trials.items() if seed < confirmation.plan.seeds}
    readings = {seed: trial.held_out for seed, trial in mine.items() if trial.held_out is not None}
    scores = {seed: reading.score for seed, reading in readings.items()}
    diverged = [seed for seed, trial in mine.items() if trial.outcome is OutcomeKind.DIVERGED]
    scores |= {seed: _worst(confirmation, sign) for seed in diverged}
    failed = sum(trial.outcome is OutcomeKind.FAILED for trial in mine.values())
    return ArmScores(arm, scores, len(diverged), failed, readings)


def _worst(confirmation: Confirmation, sign: float) -> float:
    """0 of a share; of an error, which has no end, the worst that any training had."""
    seen = [trial.held_out.score for trial in confirmation.trials if trial.held_out is not None]
    return 0.0 if sign > 0 else max([1.0, *seen])


def _arm(by_arm: Mapping[Arm, ArmScores], arm: Arm | None) -> ArmScores | None:
    return by_arm[arm] if arm is not None else None


def _sign(metric: str) -> float:
    return 1.0 if higher_is_better(metric) else -1.0


def _simple(scores: ArmScores) -> tuple[int, ...]:
    return tuple(-part for part in complexity(scores.arm.schedule))


def _image_interval(
    first: ArmScores, second: ArmScores, name: str, sign: float
) -> tuple[float, float] | None:
    base, _, one_class = name.partition("/")
    of_objects = base.startswith("tuned_object_")
    figure = images.FIGURES.get(base.removeprefix("tuned_object_").removeprefix("tuned_"))
    seeds = sorted(first.readings.keys() & second.readings.keys())
    if figure is None or not base.startswith("tuned_") or one_class or len(seeds) < 2:
        return None
    counts = [_counts([arm.readings[seed] for seed in seeds], of_objects) for arm in (first, second)]
    if not counts[0] or not counts[0][0].size:
        return None
    return images.image_interval(counts[0], counts[1], figure, sign)


def _counts(readings: Sequence[HeldOutScore], of_objects: bool) -> list[images.Counts]:
    return [np.asarray(one.objects if of_objects else one.pixels, dtype=np.int64) for one in readings]
