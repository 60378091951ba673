"""How much too good the best of many looks: what must be expected of it, and what confirmation found."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy import integrate, stats

from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.ranking import Tried
from lossweep.search.verdicts.sentence import control_side
from lossweep.spaces.schedules.schedule import LossSchedule


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """How far scores on validation lie apart when nothing but the seed differs.

    Attributes:
        deviation: the standard deviation over seeds, pooled over the schedules.
        schedules: how many were trained more than once.
        trainings: how often, all together.
    """

    deviation: float
    schedules: int
    trainings: int


@dataclass(frozen=True, slots=True)
class Optimism:
    """How much too good the best of each side must be expected to look.

    It is what luck would do to schedules that are all equally good; where some are better than others, the
    best owes less to luck. So these are the most that must be expected, not what has happened.

    Attributes:
        tried: how many were tried on each side.
        spread: over seeds; None where no schedule was trained with two of them.
    """

    tried: Tried
    spread: SeedSpread | None

    @property
    def deviations(self) -> float:
        """Of the best loss schedule, in standard deviations over seeds."""
        return expected_maximum(self.tried.schedules)

    @property
    def of_schedules(self) -> float | None:
        """Of the best loss schedule, in the objective's unit."""
        return None if self.spread is None else self.deviations * self.spread.deviation

    @property
    def of_controls(self) -> float | None:
        """Of the control, likewise: it is the best of its side, too."""
        controls = self.tried.plain + self.tried.own
        return None if self.spread is None else expected_maximum(controls) * self.spread.deviation


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """What became of a score when the same schedule trained again, on the same validation split.

    Attributes:
        trial: of the search.
        searched: its score there.
        scores: of its confirmation, on validation, in order of the seeds.
        sign: 1 where more is better, -1 where less is.
    """

    trial: int
    searched: float
    scores: tuple[float, ...]
    sign: float

    @property
    def mean(self) -> float:
        """Over the fresh seeds."""
        return statistics.fmean(self.scores)

    @property
    def optimism(self) -> float:
        """How much too good the search's score was; below 0 where it was too bad."""
        return self.sign * (self.searched - self.mean)


def expected_maximum(count: int) -> float:
    """Return the expected maximum of so many independent standard normal values; 0 for fewer than two."""
    if count < 2:
        return 0.0

    def weighed(value: float) -> float:
        return float(value * count * stats.norm.pdf(value) * stats.norm.cdf(value) ** (count - 1))

    # Beyond 9 lies less than 1e-18: quad then can't miss the narrow peak, as it may on an infinite range.
    found, _ = integrate.quad(weighed, -9.0, 9.0, limit=200)
    return float(found)


def expected_optimism(history: SweepHistory) -> Optimism:
    """Return how much too good the best of a sweep must be expected to look, before it is confirmed."""
    return Optimism(history.tried(), seed_spread(history))


def seed_spread(history: SweepHistory) -> SeedSpread | None:
    """Return the spread over seeds, from all schedules that completed with two seeds or more.

    Those are equal schedules of the search, and the arms of the confirmation. The two are not mixed: what
    was chosen for its score in the search says nothing of the spread.
    """
    confirming = history.confirmation.trials if history.confirmation is not None else ()
    own = history.own_controls
    groups = [*_groups(history.trials, own), *_groups(confirming, own)]
    if not groups:
        return None
    trainings = sum(len(group) for group in groups)
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in groups)
    return SeedSpread(math.sqrt(squares / (trainings - len(groups))), len(groups), trainings)


def shrinkages(history: SweepHistory) -> tuple[Shrinkage, ...]:
    """Return what became of the control's and the leaders' scores, the control first.

    Left out are those without a completed confirmation trial.
    """
    confirmation = history.confirmation
    if confirmation is None:
        return ()
    scores = {trial.number: trial.score for trial in history.trials}
    sign = 1.0 if history.direction == "maximize" else -1.0
    found = []
    for arm in (confirmation.plan.control, *confirmation.plan.leaders):
        fresh = confirmation.of(arm.schedule, arm.baseline)
        again = [trial.score for _, trial in sorted(fresh.items()) if _completed(trial)]
        values = tuple(value for value in again if value is not None)
        searched = scores.get(arm.trial)
        if values and searched is not None:
            found.append(Shrinkage(arm.trial, searched, values, sign))
    return tuple(found)


def optimism_words(optimism: Optimism, sweep: str) -> str:
    """Return how much too good the best must be expected to look, or that it is not known; empty for one.

    Args:
        optimism: expected.
        sweep: its name, for the command that measures the spread.
    """
    tried, spread = optimism.tried, optimism.spread
    if tried.schedules < 2:
        return ""
    best = f"the best of {tried.schedules} loss schedules"
    if spread is None or optimism.of_schedules is None or optimism.of_controls is None:
        return (
            f"If all were equally good, {best} would be expected to look {optimism.deviations:.1f} standard "
            "deviations over seeds too good. How much that is, is not known, for the spread over seeds is "
            f"not known: no schedule was trained twice; lossweep confirm {sweep} measures it."
        )
    lead = max(0.0, optimism.of_schedules - optimism.of_controls)
    return (
        f"If all were equally good, {best} would be expected to look {optimism.of_schedules:.3f} too good, "
        f"and the control, {control_side(tried) or 'the only one'}, {optimism.of_controls:.3f}: a lead of "
        f"about {lead:.3f} would be luck alone. Scores on validation spread by {spread.deviation:.3f} over "
        f"seeds (standard deviation, from {spread.trainings} trainings of "
        f"{_count(spread.schedules, 'schedule')})."
    )


def shrinkage_words(found: Sequence[Shrinkage], control: int) -> str:
    """Return what became of the search's scores; empty where nothing was trained again.

    Args:
        found: by `shrinkages`.
        control: the number of the control's trial.
    """
    return " ".join(
        f"{f'The control, trial {one.trial},' if one.trial == control else f'Trial {one.trial}'} scored "
        f"{one.searched:.3f} in the search and {one.mean:.3f} on the same validation split with "
        f"{_count(len(one.scores), 'fresh seed')}: it had looked {abs(one.optimism):.3f} too "
        f"{'good' if one.optimism >= 0 else 'bad'}."
        for one in found
    )


def _groups(trials: Iterable[TrialHistory], own_controls: Sequence[str]) -> list[list[float]]:
    """The scores of each schedule that completed with several seeds; a user's baseline trains its own way."""
    found: dict[tuple[LossSchedule, str | None], dict[int, float]] = defaultdict(dict)
    for trial in trials:
        if _completed(trial) and trial.score is not None:
            baseline = trial.control if trial.control in own_controls else None
            found[trial.schedule, baseline][trial.seed] = trial.score
    return [list(scores.values()) for scores in found.values() if len(scores) > 1]


def _completed(trial: TrialHistory) -> bool:
    return trial.outcome is OutcomeKind.COMPLETED and trial.score is not None


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
