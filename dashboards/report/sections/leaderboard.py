"""The ranked trials, the Pareto front, and the list to choose a trial from."""

from __future__ import annotations

from dataclasses import dataclass

from lossweep.dashboards.extensions import extension_sentences, extensions_heading
from lossweep.dashboards.numbers import number, signed
from lossweep.dashboards.report.sections.cells import ScheduleCell, Tag, above, control_line
from lossweep.dashboards.result import SweepResult, metric_words
from lossweep.search.study.alike import all_alike
from lossweep.search.study.front import front_of, objective_of
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.verdicts.sentence import arm_words
from lossweep.spaces.metrics import shown_in


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """One trial of the leaderboard.

    Attributes:
        rank: 1 is the best.
        number: of the trial.
        outcome: how it ended.
        held_against: whether it is the control.
        feasible: whether it meets the objective's constraints.
        schedule: its schedule.
        shares: how many of its epochs others had trained, and who; empty where none.
        score: in words.
        difference: to the control, in words.
        figures: at 0.5, then at the tuned threshold, then AP.
    """

    rank: int
    number: int
    outcome: Tag
    held_against: bool
    feasible: bool
    schedule: ScheduleCell
    shares: str
    score: str
    difference: str
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FrontRow:
    """One trial of the Pareto front; its values are in the order of `Front.metrics`."""

    number: int
    schedule: ScheduleCell
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Front:
    """The trials that no other beats in every metric.

    Attributes:
        metrics: in words.
        rows: one a trial.
    """

    metrics: tuple[str, ...]
    rows: tuple[FrontRow, ...]


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The ranked trials; the control stands right beside the best, whatever its rank.

    Attributes:
        metric: the score's, in words.
        control: what the control is, and how many were tried on each side.
        rows: the best first.
        front: None with one objective.
        alike: losses that train as one tried before them does, a line each.
        beyond: the heading of ``extended``.
        extended: trials with more epochs than the budget, a line each.
    """

    metric: str
    control: str
    rows: tuple[LeaderboardRow, ...]
    front: Front | None
    alike: tuple[str, ...] = ()
    beyond: str = ""
    extended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrialOption:
    """One trial to choose.

    Attributes:
        number: of the trial.
        line: number, score, outcome and schedule.
        shown: whether the page opens with it.
    """

    number: int
    line: str
    shown: bool


_FIGURES = tuple(m.name for m in shown_in("table", "pixel", "tuned", "tuned_object", "curve"))


def leaderboard(history: SweepHistory, result: SweepResult) -> Leaderboard:
    """Return the ranked trials, and the Pareto front."""
    control = result.control
    ranked = list(enumerate(history.ranked(), start=1))
    if control is not None and ranked and ranked[0][1] is not control:
        beside = next(row for row in ranked if row[1] is control)
        ranked = [ranked[0], beside, *(row for row in ranked[1:] if row is not beside)]
    return Leaderboard(
        metric=metric_words(history.metric),
        control=control_line(history),
        rows=tuple(_row(history, rank, trial, control) for rank, trial in ranked),
        front=_front(history),
        alike=tuple(map(str, all_alike(history.recorded))),
        beyond=extensions_heading(history),
        extended=extension_sentences(history),
    )


def trial_options(history: SweepHistory, shown: TrialHistory | None) -> tuple[TrialOption, ...]:
    """Return the list to choose a trial from: ranked ones first, best on top, then the others."""
    ranked = list(history.ranked())
    seen = {trial.number for trial in ranked}
    ordered = ranked + [trial for trial in history.trials if trial.number not in seen]
    return tuple(
        TrialOption(trial.number, _line(trial), shown is not None and trial.number == shown.number)
        for trial in ordered
    )


def confirmation_options(history: SweepHistory) -> tuple[TrialOption, ...]:
    """Return the trials of the confirmation to choose from, in order of number."""
    confirmation = history.confirmation
    if confirmation is None:
        return ()
    return tuple(
        TrialOption(trial.number, _line(trial, arm_words(confirmation.plan, trial)), shown=False)
        for trial in confirmation.trials
    )


def extension_options(history: SweepHistory) -> tuple[TrialOption, ...]:
    """Return the trials with more epochs than the budget to choose from, in order of number."""
    return tuple(TrialOption(trial.number, _line(trial), shown=False) for trial in history.extensions)


def _row(
    history: SweepHistory, rank: int, trial: TrialHistory, control: TrialHistory | None
) -> LeaderboardRow:
    evaluation = trial.shown
    metrics = evaluation.metrics if evaluation else {}
    return LeaderboardRow(
        rank=rank,
        number=trial.number,
        outcome=Tag(trial.outcome.value, trial.outcome.value),
        held_against=trial is control,
        feasible=trial.feasible,
        schedule=ScheduleCell.of(trial),
        shares=trial.shares,
        score=number(trial.score),
        difference=signed(above(trial, control)),
        figures=tuple(number(metrics.get(name)) for name in _FIGURES),
    )


def _front(history: SweepHistory) -> Front | None:
    trials = front_of(history)
    if not trials:
        return None
    rows = (
        FrontRow(trial.number, ScheduleCell.of(trial), tuple(map(number, trial.values))) for trial in trials
    )
    return Front(tuple(map(metric_words, objective_of(history).names)), tuple(rows))


def _line(trial: TrialHistory, arm: str = "") -> str:
    score = number(trial.score) if trial.score is not None else "no score"
    mark = f" · control {trial.control}" if trial.control else ""
    mark += f" · seed {trial.confirms + 1} of {arm}" if trial.confirms is not None else ""
    mark += f" · extends #{trial.extends}" if trial.extends is not None else ""
    mark += "" if trial.outcome is OutcomeKind.COMPLETED else f" · {trial.outcome.value}"
    return f"#{trial.number} · {score}{mark} · {str(trial.schedule)[:90]}"
