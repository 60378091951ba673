"""The first thing a person reads: winner, control, difference, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lossweep.dashboards.numbers import number, signed
from lossweep.dashboards.report.sections.cells import ScheduleCell, Tag, above
from lossweep.dashboards.result import (
    SweepResult,
    control_label,
    metric_words,
    trial_label,
)
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.verdicts.optimism import expected_optimism, optimism_words
from lossweep.search.verdicts.sentence import control_side
from lossweep.spaces.metrics import Group, shown_in
from lossweep.spaces.schedules.controls import is_plain

_ROWS: Final[tuple[tuple[str, Group], ...]] = (("at 0.5", "pixel"), ("tuned", "tuned"))
"""Of a card's table, and which metrics stand in them."""


@dataclass(frozen=True, slots=True)
class Operating:
    """Precision, recall and F1 at one threshold.

    Attributes:
        name: of the threshold.
        figures: the three, in this order.
    """

    name: str
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeadingTrial:
    """What a card shows of its trial.

    Attributes:
        number: of the trial.
        score: in words.
        caption: what the score is, and which trial this is.
        tried: the best of how many it is.
        schedule: its schedule.
        at: its figures at 0.5 and at the tuned threshold.
    """

    number: int
    score: str
    caption: str
    tried: str
    schedule: ScheduleCell
    at: tuple[Operating, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """One of the two trials that are held against each other.

    Attributes:
        role: ``winner``, ``runner-up`` or ``control``; gives the colour.
        title: over it.
        trial: None when there is none yet.
    """

    role: str
    title: str
    trial: LeadingTrial | None


@dataclass(frozen=True, slots=True)
class Difference:
    """How far the two are apart.

    Attributes:
        figure: with its sign, and its spread where there is one.
        caption: of which metric, over how many seeds, and what it came to with fresh ones.
        better: whether the contender is ahead of the control.
    """

    figure: str
    caption: str
    better: bool


@dataclass(frozen=True, slots=True)
class Headline:
    """The page's first section.

    Attributes:
        title: over it, where a verdict stands above.
        sentence: how the sweep stands; what the search found, where a verdict stands above.
        optimism: how much too good the best must be expected to look, while it is not confirmed.
        contender: the winner, or the best behind a winning control.
        difference: contender minus control; None without both.
        control: what it is held against.
        tally: how many trials ended how.
        budget: of how many trials, and in which state the sweep is.
    """

    title: str
    sentence: str
    optimism: str
    contender: Card
    difference: Difference | None
    control: Card
    tally: tuple[Tag, ...]
    budget: str


def headline(history: SweepHistory, result: SweepResult) -> Headline:
    """Return how the sweep stands."""
    contender = history.contender() if result.control_wins else result.winner
    counts = history.counts()
    confirmed = result.verdict is not None
    return Headline(
        title="What the search found" if history.confirmation is not None else "",
        sentence=_search_sentence(history, contender, result.control) if confirmed else result.sentence(),
        optimism="" if confirmed else optimism_words(expected_optimism(history), history.name),
        contender=Card(
            "runner-up" if result.control_wins else "winner",
            contender_words(history),
            _leading(history, contender, trial_label, _best_of_schedules(history, contender)),
        ),
        difference=_difference(history, result, contender),
        control=Card(
            "control",
            "Control, and leader" if result.control_wins else "Control",
            _leading(history, result.control, control_label, _best_of_controls(history, result.control)),
        ),
        tally=tuple(
            Tag(kind.value, kind.value, counts[kind.value]) for kind in OutcomeKind if counts[kind.value]
        ),
        budget=f"of {history.budget}; {history.state}. Objective: {history.objective}.{_epochs(history)}",
    )


def _epochs(history: SweepHistory) -> str:
    return f" {str(history.epochs).capitalize()}." if history.epochs.shared else ""


def _search_sentence(
    history: SweepHistory, contender: TrialHistory | None, control: TrialHistory | None
) -> str:
    scored = [
        f"{who} scored {trial.score:.3f}"
        for trial, who in (
            (contender, f"trial {contender.number}" if contender else ""),
            (control, f"the control, trial {control.number}," if control else ""),
        )
        if trial is not None and trial.score is not None
    ]
    return f"{metric_words(history.metric)} on validation, one seed each: {' and '.join(scored)}."


def _best_of_schedules(history: SweepHistory, trial: TrialHistory | None) -> str:
    tried = history.tried().schedules
    searched = (
        trial is not None and not is_plain(trial.schedule) and trial.control not in history.own_controls
    )
    return f"the best of {tried} loss schedules" if searched and tried > 1 else ""


def _best_of_controls(history: SweepHistory, trial: TrialHistory | None) -> str:
    of_them = trial is not None and (is_plain(trial.schedule) or trial.control in history.own_controls)
    return control_side(history.tried()) if of_them else ""


def _sureness(result: SweepResult, contender: TrialHistory | None) -> str:
    """How sure a difference of the search is."""
    leaders = result.verdict.leaders if result.verdict is not None else ()
    for leader in leaders:
        if (
            contender is not None
            and leader.scores.arm.trial == contender.number
            and result.verdict is not None
        ):
            mean = result.verdict.sign * leader.judged.difference.mean
            return (
                f"one seed; {mean:+.3f} over {len(leader.judged.difference.values)} fresh seeds, test split"
            )
    return "one seed, no spread yet"


def contender_words(history: SweepHistory) -> str:
    """Return what the trial that is held against the control is: the leader, or the best behind it."""
    contender, winner = history.contender(), history.winner()
    if contender is winner:
        return "Leader"
    return "Best other control" if contender is not None and contender.control else "Best proposal"


def _leading(
    history: SweepHistory, trial: TrialHistory | None, label: Callable[[TrialHistory], str], tried: str
) -> LeadingTrial | None:
    if trial is None:
        return None
    evaluation = trial.shown
    metrics = evaluation.metrics if evaluation else {}
    at = (
        Operating(name, tuple(number(metrics.get(metric.name)) for metric in shown_in("table", group)))
        for name, group in _ROWS
    )
    return LeadingTrial(
        number=trial.number,
        score=number(trial.score),
        caption=f"{metric_words(history.metric)}, {label(trial)}",
        tried=tried,
        schedule=ScheduleCell.of(trial),
        at=tuple(at),
    )


def _difference(
    history: SweepHistory, result: SweepResult, contender: TrialHistory | None
) -> Difference | None:
    difference = above(contender, result.control)
    if difference is None:
        return None
    return Difference(
        figure=signed(difference),
        caption=f"{metric_words(history.metric)}, {_sureness(result, contender)}",
        better=(difference > 0) == (history.direction == "maximize") and difference != 0,
    )
