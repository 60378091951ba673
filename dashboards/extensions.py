"""Trials with more epochs than the budget, in words: what they came to, and who is a fair rival."""

from __future__ import annotations

from collections.abc import Mapping

from lossweep.dashboards.result import metric_words
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind


def extensions_heading(history: SweepHistory) -> str:
    """Return what stands above the sentences; empty where nothing was extended."""
    if not history.extensions:
        return ""
    return f"Beyond the budget of {history.budget_epochs} epochs, and so not ranked among those that had it"


def extension_sentences(history: SweepHistory, home: str = "") -> tuple[str, ...]:
    """Return a sentence or three on each trial that extends another one, in order of number.

    Args:
        history: the sweep.
        home: what a command needs to find the sweep: nothing, or its option.
    """
    trials = {trial.number: trial for trial in history.recorded}
    return tuple(_sentences(history, trial, trials, home) for trial in history.extensions)


def _sentences(
    history: SweepHistory, trial: TrialHistory, trials: Mapping[int, TrialHistory], home: str
) -> str:
    epochs, before = trial.schedule.epochs, trials.get(trial.extends or 0)
    who = f"Trial {trial.number} extends trial {trial.extends} to {epochs} epochs"
    if trial.outcome is not OutcomeKind.COMPLETED:
        reason = f", {trial.reason}" if trial.reason else ""
        return f"{who}: {trial.outcome} after {trial.epochs}{reason}."
    if trial.score is None or trial.scored is None or before is None:
        return f"{who}."
    scored = f"{metric_words(history.metric)} {trial.score:.3f}"
    said = f"{who}: {scored}, as it was after epoch {trial.scored.epoch}"
    if before.score is not None:
        said += f"; trial {before.number} had {before.score:.3f} with {before.epochs} epochs"
    return f"{said}.{_fair_rival(history, trial, trials, home)}"


def _fair_rival(
    history: SweepHistory, trial: TrialHistory, trials: Mapping[int, TrialHistory], home: str
) -> str:
    """What the control comes to with as many epochs, or how to find out."""
    control = history.control()
    if control is None or _root(trial, trials) == control.number:
        return ""
    rivals = [each for each in history.extensions if _root(each, trials) == control.number]
    rivals = [each for each in rivals if each.schedule.epochs == trial.schedule.epochs]
    rival = next((each for each in rivals if each.outcome is OutcomeKind.COMPLETED), None)
    if rival is None:
        command = f"lossweep extend {history.name} {control.number} --epochs {trial.schedule.epochs}{home}"
        return f" The control had {control.epochs}; for a fair comparison: {command}"
    assert trial.score is not None
    if rival.score is None:
        return ""
    difference = trial.score - rival.score
    side = f"{abs(difference):.3f} {'above' if difference >= 0 else 'below'}"
    return f" That is {side} the control with as many epochs (trial {rival.number}), in one seed."


def _root(trial: TrialHistory, trials: Mapping[int, TrialHistory]) -> int:
    """The number of the trial of the search that was extended, perhaps again and again."""
    while trial.extends is not None and trial.extends in trials:
        trial = trials[trial.extends]
    return trial.number
