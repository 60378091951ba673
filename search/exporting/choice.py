"""Which training is exported: a tie goes to the simpler schedule, a purpose chooses by its own metric."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from enum import StrEnum

from lossweep.search.exporting.words import arm_words, spread_words
from lossweep.search.study.confirmation import Arm, Role
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.ranking import ranked
from lossweep.search.study.trial_history import TrialHistory
from lossweep.search.verdicts.result import ArmScores, SweepVerdict, between, verdict_of
from lossweep.search.verdicts.simplicity import complexity
from lossweep.spaces.files.errors import Problem, UserError


class Preference(StrEnum):
    """What an export is for: the validation figure at the tuned threshold that it is chosen by."""

    RECALL = "recall"
    PRECISION = "precision"
    F1 = "f1"
    OBJECT_F1 = "object_f1"

    @property
    def metric(self) -> str:
        """The metric's name in evaluations."""
        return f"tuned_{self.value}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is exported.

    Attributes:
        trial: the training that threshold, realised phases and weights come from: a trial of the search, or
            of a confirmed arm the one whose validation score is the median of its seeds.
        scores: of the confirmed arm that it is one of; None of what was not confirmed.
        verdict: of the sweep; None without a confirmation.
        preference: what it was chosen for, if not for the objective.
        said: why it was chosen, a line each, with the command for the other choice.
    """

    trial: TrialHistory
    scores: ArmScores | None = None
    verdict: SweepVerdict | None = None
    preference: Preference | None = None
    said: tuple[str, ...] = ()


def choose(
    history: SweepHistory,
    *,
    number: int | None = None,
    nominal_best: bool = False,
    prefer: Preference | None = None,
    home: str = "",
) -> Chosen:
    """Choose what is exported.

    With a verdict that is the simplest of the confirmed arms that the seeds cannot tell from the best, and
    without one the best of the search, which is unconfirmed.

    Args:
        history: the sweep.
        number: a trial of the search or of the confirmation, instead.
        nominal_best: the arm of the best mean, however simple another one is.
        prefer: choose by this figure, instead of the objective.
        home: what a command in ``said`` needs to find the sweep: nothing, or its option.

    Raises:
        UserError: when the sweep has no such trial, or nothing that completed.
    """
    verdict = verdict_of(history)
    if number is not None:
        trial = _numbered(history, number)
        return Chosen(trial, _arm_of(history, verdict, trial), verdict)
    command = f"lossweep export {history.name}{home}"
    if prefer is not None:
        return _preferred(history, verdict, prefer)
    if verdict is None:
        winner = history.winner()
        if winner is None:
            raise UserError(Problem(f"no trial of sweep {history.name} has completed yet"))
        unconfirmed = (
            f"Exported is trial {winner.number}, the best of the search and unconfirmed: its lead is one "
            f"seed's. To confirm it: lossweep confirm {history.name}{home}"
        )
        return Chosen(winner, said=(unconfirmed,))
    best = verdict.best
    scores = best if nominal_best else verdict.simplest
    said = _reasons(verdict, scores, command)
    return Chosen(training_of(history, scores.arm), scores, verdict, said=said)


def training_of(history: SweepHistory, arm: Arm) -> TrialHistory:
    """Return the training that stands for a confirmed arm: the one of the median validation score.

    Not the one of the search: that was chosen for its score, and is likely to be a lucky one. Of an even
    number of seeds the worse of the middle two.

    Raises:
        UserError: when no training of the arm completed.
    """
    sign = 1.0 if history.direction == "maximize" else -1.0
    done = _completed(history, arm)
    if not done:
        raise UserError(Problem(f"no training of {arm_words(arm)} has completed in the confirmation"))
    ordered = sorted(done, key=lambda trial: (sign * (trial.score or 0.0), trial.number))
    return ordered[(len(ordered) - 1) // 2]


def exportable(history: SweepHistory) -> tuple[TrialHistory, ...]:
    """Return the trainings that confirmed arms are exported as; none without a confirmation."""
    arms = history.confirmation.plan.arms if history.confirmation is not None else ()
    return tuple(training_of(history, arm) for arm in arms if _completed(history, arm))


def _completed(history: SweepHistory, arm: Arm) -> list[TrialHistory]:
    if history.confirmation is None:
        return []
    trials = history.confirmation.of(arm.schedule, arm.baseline)
    return [
        trial
        for seed, trial in sorted(trials.items())
        if seed < history.confirmation.plan.seeds
        and trial.outcome is OutcomeKind.COMPLETED
        and trial.scored is not None
    ]


def _numbered(history: SweepHistory, number: int) -> TrialHistory:
    trials = history.recorded
    found = next((trial for trial in trials if trial.number == number), None)
    if found is None:
        allowed = f"0 to {len(trials) - 1}" if trials else "none: no trial has started"
        raise UserError(
            Problem(f"sweep {history.name} has no such trial", found=str(number), allowed=allowed)
        )
    return found


def _arm_of(history: SweepHistory, verdict: SweepVerdict | None, trial: TrialHistory) -> ArmScores | None:
    """The confirmed arm that a trial is one training of, or that was chosen for it."""
    if verdict is None:
        return None
    for scores in verdict.arms:
        arm = scores.arm
        searched = arm.role in (Role.LEADER, Role.CONTROL) and arm.trial == trial.number
        if searched or (trial.confirms is not None and trial in _completed(history, arm)):
            return scores
    return None


def _preferred(history: SweepHistory, verdict: SweepVerdict | None, prefer: Preference) -> Chosen:
    """The arm of the best mean, or without any the best trial, by a validation figure."""
    name = prefer.metric
    nothing = Problem(f"no completed trial of sweep {history.name} has a {prefer.value} at a tuned threshold")
    if verdict is not None:
        means = [
            (statistics.fmean(figures), scores)
            for scores in verdict.arms
            if (figures := _figures(_completed(history, scores.arm), name))
        ]
        if not means:
            raise UserError(nothing)
        mean, chosen = min(means, key=lambda each: (-each[0], complexity(each[1].arm.schedule)))
        said = (
            f"Exported is {arm_words(chosen.arm)}: of {len(means)} confirmed arms it has the highest mean "
            f"{prefer.value} on validation, {mean:.3f}."
        )
        return Chosen(training_of(history, chosen.arm), chosen, verdict, prefer, (said,))
    done = [trial for trial in ranked(history.trials, history.directions) if _figures([trial], name)]
    done = [trial for trial in done if trial.outcome is OutcomeKind.COMPLETED]
    if not done:
        raise UserError(nothing)
    allowed = [trial for trial in done if trial.feasible] or done
    best = max(allowed, key=lambda trial: _figures([trial], name)[0])
    said = (
        f"Exported is trial {best.number}: of {len(allowed)} completed trials it has the highest "
        f"{prefer.value} on validation, {_figures([best], name)[0]:.3f}, in one seed and unconfirmed."
    )
    return Chosen(best, None, None, prefer, (said,))


def _figures(trials: list[TrialHistory], name: str) -> list[float]:
    scored = [trial.scored for trial in trials]
    return [evaluation.metrics[name] for evaluation in scored if evaluation and name in evaluation.metrics]


def _reasons(verdict: SweepVerdict, chosen: ArmScores, command: str) -> tuple[str, ...]:
    """Why this arm, with its figures and those of the best one, and how to get the best one."""
    best, seeds = verdict.best, len(chosen.scores)
    figures = spread_words(verdict.held_out, chosen)
    who = f"Exported is {arm_words(chosen.arm)}"
    if chosen is best:
        return (f"{who}: {figures}, the best mean of the confirmed arms.",)
    difference = between(best, chosen, verdict.sign)
    ahead = f", {difference.mean:.3f} better on average" if difference is not None else ""
    by_number = best.arm.role in (Role.LEADER, Role.CONTROL)
    other = f"{command} --trial {best.arm.trial}" if by_number else f"{command} --nominal-best"
    return (
        f"{who}: {figures}, the simplest schedule that {seeds} fresh seeds can't tell from the best.",
        f"The nominal best, {arm_words(best.arm)}, has {spread_words(verdict.held_out, best)}{ahead}; "
        f"to export it: {other}",
    )
