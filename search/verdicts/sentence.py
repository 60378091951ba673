"""A verdict in words that a person can repeat to a colleague."""

from __future__ import annotations

import math

from lossweep.search.study.confirmation import Arm, ConfirmationPlan, Role
from lossweep.search.study.ranking import Tried
from lossweep.search.study.trial_history import TrialHistory
from lossweep.search.verdicts.paired import MOST_SEEDS, PairedDifference
from lossweep.search.verdicts.result import LeaderResult, SweepVerdict
from lossweep.search.verdicts.verdict import Verdict
from lossweep.spaces.files.numbers import number
from lossweep.spaces.schedules.controls import is_plain
from lossweep.spaces.schedules.schedule import LossSchedule

ROLES = {
    Role.LEADER: "leader",
    Role.CONTROL: "control",
    Role.RATES_ALONE: "rates and lengths with plain cross-entropy of",
    Role.FIRST_PHASE_ALONE: "first phase alone of",
    Role.ONE_LOSS: "all phases with the first loss of",
}
"""What an arm is called, before the number of its leader."""

_SHAPES = {"constant": "constant", "cosine": "falling along a cosine", "drop": "dropping to a tenth"}


def sentence(verdict: SweepVerdict, metric: str, sweep: str) -> str:
    """Return the verdict, what of the lead is the loss's and what the rates', and what is not known.

    Args:
        verdict: of the sweep.
        metric: the objective's metric as a person says it.
        sweep: its name, for the command that adds seeds.
    """
    parts = [headline(verdict, metric)]
    parts += [taken_apart(verdict.headline)] if verdict.headline.judged.verdict is not Verdict.TIES else []
    parts.append(caveat(verdict, sweep))
    return " ".join(part for part in parts if part)


def headline(verdict: SweepVerdict, metric: str) -> str:
    """Return who beats whom, by how much, and how hard both sides were searched."""
    leader, judged = verdict.headline, verdict.headline.judged
    low, high = judged.interval
    numbers = (
        f"{metric} {leader.scores.summary.mean:.3f} against {verdict.control.summary.mean:.3f} on the test "
        f"split, a difference of {verdict.sign * judged.difference.mean:+.3f} "
        f"({_interval(low, high, verdict.sign)} over {len(judged.difference.values)} fresh seeds)"
    )
    who = f"Trial {leader.scores.arm.trial}"
    against = f"the control, {control_words(verdict.control.arm.schedule)}"
    sides = _sides(verdict)
    if judged.by_rates:
        return f"{_ahead_by_rates(leader, against, numbers)} {sides}"
    match judged.verdict:
        case Verdict.BEATS:
            said = f"{who} beats {against}: {numbers}."
        case Verdict.TIES:
            said = f"{who} ties with {against}: {numbers}, within the margin of {verdict.margin:g}."
        case Verdict.LOSES:
            said = f"{who} loses to {against}: {numbers}."
        case _:
            said = f"Whether trial {leader.scores.arm.trial} beats {against}, cannot be told yet: {numbers}."
    return f"{said} {sides}"


def _ahead_by_rates(leader: LeaderResult, against: str, numbers: str) -> str:
    """Return how a leader stands whose rates with plain cross-entropy are ahead of the control as well."""
    words = {
        Verdict.TIES: "has nothing over them that matters",
        Verdict.LOSES: "costs something against them",
        Verdict.CANNOT_TELL: "cannot be told yet to have anything over them",
    }
    over = f" ({_signed(leader.loss)})" if leader.loss is not None else ""
    return (
        f"Trial {leader.scores.arm.trial} is ahead of {against}: {numbers}; but so are its rates and lengths "
        f"with plain cross-entropy, and its loss {words[leader.judged.verdict]}{over}."
    )


def taken_apart(leader: LeaderResult) -> str:
    """Return what of a leader's difference its loss earned, what its rates, and what switching."""
    parts = []
    if leader.loss is not None and leader.rates is not None:
        parts.append(
            f"of the difference the loss earned {_signed(leader.loss)} and the rates {_signed(leader.rates)} "
            "(what its rates and lengths have with plain cross-entropy)"
        )
    if leader.switching is not None:
        parts.append(f"switching earned {_signed(leader.switching)} over its first phase alone")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def caveat(verdict: SweepVerdict, sweep: str) -> str:
    """Return what else there is to know: more seeds, other images, divergences, earlier readings."""
    leader = verdict.headline
    parts = []
    if not verdict.complete:
        parts.append("The confirmation is not complete yet.")
    if leader.judged.verdict is Verdict.CANNOT_TELL:
        needed = leader.judged.seeds_needed
        parts.append(
            f"It would probably take about {needed} seeds: lossweep confirm {sweep} --seeds {needed}."
            if needed is not None
            else f"More than {MOST_SEEDS} seeds would probably be needed: it hardly matters which is taken."
        )
    if leader.image_interval is not None:
        low, high = leader.image_interval
        count = verdict.test_images
        parts.append(
            f"With other test images like these {count}, the difference would lie "
            f"{_between(low, high, verdict.sign)} (95 %)."
        )
    for scores in verdict.arms:
        if scores.diverged:
            parts.append(
                f"{scores.diverged} of {verdict.seeds} trainings of the {arm_label(scores.arm)} diverged."
            )
    if verdict.reads_before:
        parts.append(
            f"The test split had been read {verdict.reads_before} times before, by an earlier confirmation: "
            "what is chosen by what was seen there is no longer untouched."
        )
    return " ".join(parts)


def arm_label(arm: Arm) -> str:
    """Return what an arm is, with its leader's trial: ``first phase alone of trial 14``."""
    return ROLES[arm.role] if arm.role is Role.CONTROL else f"{ROLES[arm.role]} trial {arm.trial}"


def arm_words(plan: ConfirmationPlan, trial: TrialHistory) -> str:
    """Return which arms of a confirmation a trial trains, in words."""
    return (
        " and ".join(dict.fromkeys(map(arm_label, plan.arms_of(trial))))
        or "an arm of an earlier confirmation"
    )


def control_words(schedule: LossSchedule) -> str:
    """Return what the control is: its loss, its rate and how that runs."""
    phase = schedule.phases[0]
    words = "plain cross-entropy" if is_plain(schedule) else phase.loss_name
    if len(schedule.unrolled()) > 1:
        return f"{words} ({schedule})"
    return f"{words} at {number(phase.learning_rate)} {_SHAPES[phase.shape]}"


def control_side(tried: Tried) -> str:
    """Return what the control is the best of, in words; empty where none of its side was tried."""
    plain = f"the best of {tried.plain} plain cross-entropies" if tried.plain else ""
    plain = "the only plain cross-entropy tried" if tried.plain == 1 else plain
    own = f"{tried.own} of your own baselines" if tried.own else ""
    return " and ".join(filter(None, [plain, own]))


def _sides(verdict: SweepVerdict) -> str:
    """How many were tried on each side."""
    other = control_side(verdict.tried)
    best = f"The best of {verdict.tried.schedules} loss schedules"
    best = "The only loss schedule tried" if verdict.tried.schedules == 1 else best
    return f"{best} was held against {other}." if other else ""


def _signed(difference: PairedDifference) -> str:
    """The mean, and how far a 95 % interval reaches to each side of it."""
    low, high = difference.interval()
    return (
        f"{difference.mean:+.3f} ± {(high - low) / 2:.3f}"
        if math.isfinite(high - low)
        else f"{difference.mean:+.3f}"
    )


def _interval(low: float, high: float, sign: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "no interval"
    return f"95 % interval {_between(low, high, sign)}"


def _between(low: float, high: float, sign: float) -> str:
    first, last = sorted((sign * low, sign * high))
    return f"{first:+.3f} to {last:+.3f}"
