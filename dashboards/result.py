"""Where a sweep stands: the winner against the control, in numbers and in one honest sentence."""

from __future__ import annotations

from dataclasses import dataclass

from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.ranking import Tried
from lossweep.search.verdicts.result import SweepVerdict, verdict_of
from lossweep.search.verdicts.sentence import caveat, control_words, headline, sentence
from lossweep.spaces.metric_names import metric_of
from lossweep.spaces.schedules.controls import is_plain

CONTROL_NAMES = {
    "cross_entropy": "plain cross-entropy",
    "weighted_ce": "weighted cross-entropy",
    "jaccard": "Jaccard",
    "ce_dice": "cross-entropy + Dice",
    "recipe": "the practitioners' recipe (weighted CE, then Jaccard)",
}


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The standing result of a sweep.

    Attributes:
        name: of the sweep.
        metric: what is compared.
        direction: ``maximize`` or ``minimize``.
        winner: the best completed trial, controls included; None before the first.
        control: the control it is held against; None when none has a score.
        difference: the winner's score minus the control's; None without both.
        tried: how many schedules were tried on each side.
        verdict: what fresh seeds say, where there are any.
    """

    name: str
    metric: str
    direction: str
    winner: TrialHistory | None
    control: TrialHistory | None
    difference: float | None
    tried: Tried
    verdict: SweepVerdict | None = None

    @property
    def control_wins(self) -> bool:
        """Whether nothing has beaten the control."""
        return self.winner is not None and self.winner is self.control

    @property
    def control_named(self) -> str:
        """What the control is and how many were tried; empty while there is none."""
        return "" if self.control is None else control_named(self.control, self.tried)

    def sentence(self) -> str:
        """Say it in a few sentences, with what is not known yet."""
        if self.verdict is not None:
            return sentence(self.verdict, metric_words(self.metric), self.name)
        held_against = self.difference is not None
        return f"{self.headline()} {self.caveat()}" if held_against else self.headline()

    def headline(self) -> str:
        """Say who leads, without how sure that is."""
        winner, control = self.winner, self.control
        if self.verdict is not None:
            return headline(self.verdict, metric_words(self.metric))
        if winner is None or winner.score is None:
            return "No trial has completed yet: there is no winner."
        lead = f"{trial_label(winner)} leads with {metric_words(self.metric)} {winner.score:.3f}"
        if not winner.feasible:
            lead = f"No trial meets the objective's constraints; of those that miss them, {lead}"
        if control is None or control.score is None or self.difference is None:
            return f"{lead}. No control has completed yet, so there is nothing to hold it against."
        what = self.control_named
        if self.control_wins:
            beaten = "no loss schedule has been tried yet"
            if self.tried.schedules:
                beaten = f"none of the {_count(self.tried.schedules, 'loss schedule')} tried has beaten it"
            leads = f"leads with {metric_words(self.metric)} {control.score:.3f}"
            return f"The control, {what}, {leads}: {beaten}."
        side = "above" if self.difference >= 0 else "below"
        held = f"{lead}, {abs(self.difference):.3f} {side} the control ({what}: {control.score:.3f})."
        better = self.difference if self.direction == "maximize" else -self.difference
        return held if better > 0 else f"{held} That is no better than the control."

    def caveat(self) -> str:
        """Say how sure the difference is."""
        if self.verdict is not None:
            return caveat(self.verdict, self.name)
        return (
            "One seed each, and picked as the best of many on the same validation split: the difference has "
            f"no spread yet and is unconfirmed. Fresh seeds would tell: lossweep confirm {self.name}."
        )


def metric_words(name: str) -> str:
    """Return a metric's name as a person says it: ``tuned_object_f1`` is ``object F1 (tuned threshold)``."""
    base, _, cls = name.partition("/")
    metric = metric_of(base)
    words = metric.words if metric else base.replace("_", " ")
    return f"{words}, {cls}" if cls else words


def sweep_result(history: SweepHistory) -> SweepResult:
    """Return where the sweep stands now."""
    winner, control = history.winner(), history.control()
    difference = None
    if winner is not None and control is not None and winner.score is not None and control.score is not None:
        difference = winner.score - control.score
    return SweepResult(
        name=history.name,
        metric=history.metric,
        direction=history.direction,
        winner=winner,
        control=control,
        difference=difference,
        tried=history.tried(),
        verdict=verdict_of(history),
    )


def trial_label(trial: TrialHistory) -> str:
    """Return ``trial 12``, or the control's name with it."""
    if trial.confirms is not None:
        return f"Trial {trial.number} (confirmation, seed {trial.confirms + 1})"
    if trial.extends is not None:
        return f"Trial {trial.number} (extends trial {trial.extends})"
    return f"Trial {trial.number}" + (f" (control {trial.control})" if trial.control else "")


def control_label(trial: TrialHistory) -> str:
    """Return what a control trains, in words."""
    if is_plain(trial.schedule):
        return control_words(trial.schedule)
    return CONTROL_NAMES.get(trial.control or "", trial.control or trial_label(trial))


def control_named(trial: TrialHistory, tried: Tried) -> str:
    """Return what a control trains and how many of its kind were tried."""
    count = tried.plain if is_plain(trial.schedule) else tried.own
    of = f", the best of {count} tried" if count > 1 else ", the only one tried" if count else ""
    return control_label(trial) + of


def confirmed_control(history: SweepHistory) -> str:
    """Return `control_named` of what the newest confirmation has as the control; empty without any.

    It is the control of the search by then: a search that went on may have found another.
    """
    if history.confirmation is None:
        return ""
    chosen = history.confirmation.plan.control.trial
    return next((control_named(t, history.tried()) for t in history.trials if t.number == chosen), "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def stopped(history: SweepHistory) -> tuple[TrialHistory, ...]:
    """Return the trials that did not run to their end by decision or by fault, in order of number."""
    ends = (OutcomeKind.PRUNED, OutcomeKind.DIVERGED, OutcomeKind.FAILED)
    return tuple(trial for trial in history.trials if trial.outcome in ends)
