"""Which trials of a search lead, and which of them is the control they are held against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.trial_history import TrialHistory
from lossweep.spaces.schedules.controls import is_plain


@dataclass(frozen=True, slots=True)
class Tried:
    """How hard each side was searched.

    Trials that failed or were rejected before training were never measured, and do not count.

    Attributes:
        schedules: loss schedules tried, the named controls among them.
        plain: plain cross-entropies tried.
        own: of the user's own baselines.
    """

    schedules: int
    plain: int
    own: int = 0


def ranked(trials: Iterable[TrialHistory], directions: tuple[str, ...]) -> tuple[TrialHistory, ...]:
    """Return the trials with a score, best first: feasible before infeasible, ties by number.

    Of several metrics the first that differs decides, so that none comes before one that is better in some
    and worse in none.

    Args:
        trials: in any order.
        directions: ``maximize`` or ``minimize``, one a metric of the objective.
    """
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]

    def place(trial: TrialHistory) -> tuple[bool, tuple[float, ...], int]:
        values = trial.values or (trial.score or 0.0,)
        return not trial.feasible, tuple(s * v for s, v in zip(signs, values, strict=False)), trial.number

    return tuple(sorted((trial for trial in trials if trial.score is not None), key=place))


def best_plain(
    trials: Sequence[TrialHistory], directions: tuple[str, ...], own_controls: Sequence[str] = ()
) -> TrialHistory | None:
    """Return the control: the best plain cross-entropy found, or a better baseline of the user's.

    A completed one comes before one that was ended early; None when none has a score.
    """
    candidates = [t for t in trials if is_plain(t.schedule) or t.control in own_controls]
    scored = ranked(candidates, directions)
    done = (trial for trial in scored if trial.outcome is OutcomeKind.COMPLETED)
    return next(done, None) or next(iter(scored), None)


def leaders(
    trials: Sequence[TrialHistory], directions: tuple[str, ...], top: int, own_controls: Sequence[str] = ()
) -> tuple[TrialHistory, ...]:
    """Return the best completed trials of distinct schedules that are not the control's kind.

    While any meets the objective's constraints, none that misses them leads.
    """
    done = [t for t in ranked(trials, directions) if t.outcome is OutcomeKind.COMPLETED]
    rivals = [t for t in done if not is_plain(t.schedule) and t.control not in own_controls]
    allowed = [trial for trial in rivals if trial.feasible] or rivals
    distinct = {trial.schedule: trial for trial in reversed(allowed)}
    return tuple(trial for trial in allowed if distinct[trial.schedule] is trial)[:top]


def tried(trials: Iterable[TrialHistory], own_controls: Sequence[str] = ()) -> Tried:
    """Count the distinct attempts on each side."""
    counted = [t for t in trials if t.outcome is not OutcomeKind.FAILED and not t.rejected]
    own = sum(trial.control in own_controls for trial in counted)
    plain = sum(is_plain(trial.schedule) and trial.control not in own_controls for trial in counted)
    return Tried(len(counted) - plain - own, plain, own)
