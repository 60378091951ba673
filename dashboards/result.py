"""Where a sweep stands: the winner against the control, in numbers and in one honest sentence."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.metric_names import metric_of

CONTROL_NAMES = {
    "cross_entropy": "plain cross-entropy",
    "weighted_ce": "weighted cross-entropy",
    "jaccard": "Jaccard",
    "ce_dice": "cross-entropy + Dice",
    "recipe": "the practitioners' recipe (weighted CE, then Jaccard)",
}


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Scores on the untouched test split after retraining from scratch, one a seed, in one order of seeds.

    Attributes:
        winner: the winner's scores.
        control: the control's scores.
    """

    winner: tuple[float, ...]
    control: tuple[float, ...]

    @property
    def difference(self) -> tuple[float, float]:
        """Mean and sample standard deviation of winner minus control, paired by seed."""
        pairs = [w - c for w, c in zip(self.winner, self.control, strict=True)]
        return statistics.fmean(pairs), statistics.stdev(pairs) if len(pairs) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The standing result of a sweep.

    Attributes:
        metric: what is compared.
        direction: ``maximize`` or ``minimize``.
        winner: the best completed trial, controls included; None before the first.
        control: the control it is held against; None when none has a score.
        difference: the winner's score minus the control's; None without both.
        confirmed: scores over fresh seeds, when there are any.
    """

    metric: str
    direction: str
    winner: TrialHistory | None
    control: TrialHistory | None
    difference: float | None
    confirmed: Confirmed | None = None

    @property
    def control_wins(self) -> bool:
        """Whether nothing has beaten the control."""
        return self.winner is not None and self.winner is self.control

    def sentence(self) -> str:
        """Say it in one or two sentences, with what is not known yet."""
        held_against = self.difference is not None and not self.control_wins
        return f"{self.headline()} {self.caveat()}" if held_against else self.headline()

    def headline(self) -> str:
        """Say who leads, without how sure that is."""
        winner, control = self.winner, self.control
        if winner is None or winner.score is None:
            return "No trial has completed yet: there is no winner."
        lead = f"{trial_label(winner)} leads with {metric_words(self.metric)} {winner.score:.3f}"
        if not winner.feasible:
            lead = f"No trial meets the objective's constraints; of those that miss them, {lead}"
        if control is None or control.score is None or self.difference is None:
            return f"{lead}. No control has completed yet, so there is nothing to hold it against."
        if self.control_wins:
            return (
                f"The control, {control_label(control)}, leads with "
                f"{metric_words(self.metric)} {control.score:.3f}: "
                "no proposed schedule has beaten it."
            )
        side = "above" if self.difference >= 0 else "below"
        held = (
            f"{lead}, {abs(self.difference):.3f} {side} the control "
            f"({control_label(control)}, {control.score:.3f})."
        )
        better = self.difference if self.direction == "maximize" else -self.difference
        return held if better > 0 else f"{held} That is no better than the control."

    def caveat(self) -> str:
        """Say how sure the difference is."""
        if self.confirmed is None:
            return (
                "One seed each, and picked as the best of many on the same validation split: "
                "the difference has no spread yet and is unconfirmed."
            )
        mean, spread = self.confirmed.difference
        seeds = len(self.confirmed.winner)
        sign = 1.0 if self.direction == "maximize" else -1.0
        clear = sign * mean > spread
        return (
            f"Confirmed with {seeds} fresh seeds on the test split: difference {mean:+.3f} ± {spread:.3f}"
            f"{'' if clear else ', within its own spread: not a clear win'}."
        )


def metric_words(name: str) -> str:
    """Return a metric's name as a person says it: ``tuned_object_f1`` is ``object F1 (tuned threshold)``."""
    base, _, cls = name.partition("/")
    metric = metric_of(base)
    words = metric.words if metric else base.replace("_", " ")
    return f"{words}, {cls}" if cls else words


def sweep_result(history: SweepHistory, confirmed: Confirmed | None = None) -> SweepResult:
    """Return where the sweep stands now."""
    winner, control = history.winner(), history.control()
    difference = None
    if winner is not None and control is not None and winner.score is not None and control.score is not None:
        difference = winner.score - control.score
    return SweepResult(history.metric, history.direction, winner, control, difference, confirmed)


def trial_label(trial: TrialHistory) -> str:
    """Return ``trial 12``, or the control's name with it."""
    return f"Trial {trial.number}" + (f" (control {trial.control})" if trial.control else "")


def control_label(trial: TrialHistory) -> str:
    """Return what a control trains, in words."""
    return CONTROL_NAMES.get(trial.control or "", trial.control or trial_label(trial))


def stopped(history: SweepHistory) -> tuple[TrialHistory, ...]:
    """Return the trials that did not run to their end by decision or by fault, in order of number."""
    ends = (OutcomeKind.PRUNED, OutcomeKind.DIVERGED, OutcomeKind.FAILED)
    return tuple(trial for trial in history.trials if trial.outcome in ends)
