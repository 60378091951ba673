"""The verdict over fresh seeds, which stands on top of the page once there is one, and its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lossweep.dashboards.numbers import MISSING, number, signed
from lossweep.dashboards.report.sections.cells import ScheduleCell, Tag
from lossweep.dashboards.result import SweepResult, metric_words
from lossweep.search.study.confirmation import Arm, Confirmation, Role
from lossweep.search.study.history import SweepHistory
from lossweep.search.verdicts.optimism import Shrinkage, expected_optimism, shrinkage_words, shrinkages
from lossweep.search.verdicts.paired import PairedDifference
from lossweep.search.verdicts.result import ArmScores, LeaderResult, SweepVerdict, between
from lossweep.search.verdicts.sentence import ROLES, arm_label
from lossweep.search.verdicts.verdict import Verdict as Word

_CHIPS: Final = {
    Word.BEATS: "beats",
    Word.TIES: "ties",
    Word.LOSES: "loses",
    Word.CANNOT_TELL: "cannot-tell",
}
"""Style classes of the verdicts' chips."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A difference with where it lies.

    Attributes:
        figure: the mean, with its sign.
        interval: of the mean; empty where there is none.
    """

    figure: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm of the confirmation.

    Attributes:
        kind: ``control``, ``leader`` or ``ablation``; gives the colour.
        role: in words.
        number: of the search's trial that the arm is, or is made of.
        schedule: what was trained.
        mean: over the seeds.
        deviation: the standard deviation over them.
        seeds: how many there are, and what became of the others.
        scores: one a planned seed.
        difference: to the control, in the objective's unit.
    """

    kind: str
    role: str
    number: int
    schedule: ScheduleCell
    mean: str
    deviation: str
    seeds: str
    scores: tuple[str, ...]
    difference: Spread


@dataclass(frozen=True, slots=True)
class LeaderRow:
    """What one leader's difference is made of; all above 0 where it is better.

    Attributes:
        number: of the trial.
        tag: its verdict.
        p_value: adjusted for the number of leaders.
        again: its score on validation, in the search and as the mean of the fresh seeds.
        images: where its difference to the control lies with other test images.
        parts: what the loss, the rates, switching, and several losses in place of one earned.
    """

    number: int
    tag: Tag
    p_value: str
    again: str
    images: str
    parts: tuple[Spread, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a confirmation has found.

    Attributes:
        sentence: which schedule is better.
        rest: of the same sentence: how that comes about, and how sure it is.
        words: what stands under it, a paragraph each.
        tag: the verdict; None while there is none.
        metric: of the figures, in words.
        arms: all that were trained again.
        leaders: each against the control.
    """

    sentence: str
    words: tuple[str, ...] = ()
    rest: str = ""
    tag: Tag | None = None
    metric: str = ""
    arms: tuple[ArmRow, ...] = ()
    leaders: tuple[LeaderRow, ...] = ()


def verdict_section(history: SweepHistory, result: SweepResult) -> Verdict | None:
    """Return what the confirmation says, or how far it is; None without one."""
    confirmation, found = history.confirmation, result.verdict
    if confirmation is None:
        return None
    if found is None:
        return Verdict(_progress(confirmation))
    sentence, again = result.headline(), {one.trial: one for one in shrinkages(history)}
    return Verdict(
        sentence=sentence,
        rest=result.sentence().removeprefix(sentence).strip(),
        words=(_came_to(history, found, again), _simplest(found)),
        tag=_tag(found.headline),
        metric=metric_words(found.held_out),
        arms=tuple(_arm(found, scores) for scores in found.arms),
        leaders=tuple(_leader(found, leader, again.get(leader.scores.arm.trial)) for leader in found.leaders),
    )


def _progress(confirmation: Confirmation) -> str:
    return (
        f"Being confirmed with fresh seeds: {confirmation.done} of {confirmation.planned} trainings have "
        "ended. There is a verdict as soon as every leader and the control have scores of two seeds."
    )


def _came_to(history: SweepHistory, verdict: SweepVerdict, again: Mapping[int, Shrinkage]) -> str:
    """What became of the two scores of the search, and what luck would have made of the better one."""
    control = verdict.control.arm.trial
    compared = (verdict.headline.scores.arm.trial, control)
    words = shrinkage_words([again[trial] for trial in compared if trial in again], control)
    luck, tried = expected_optimism(history).of_schedules, verdict.tried.schedules
    if luck is None or tried < 2:
        return words
    return f"{words} Luck alone makes the best of {tried} equally good schedules look {luck:.3f} too good."


def _simplest(verdict: SweepVerdict) -> str:
    best, simplest = verdict.best, verdict.simplest
    if simplest is best:
        does = "does as well, by what these seeds can tell"
        return f"The best mean is that of the {arm_label(best.arm)}: no simpler schedule of these {does}."
    return (
        f"The best mean is that of the {arm_label(best.arm)}. The simplest schedule that these seeds cannot "
        f"tell from it is the {arm_label(simplest.arm)}: {simplest.arm.schedule}."
    )


def _tag(leader: LeaderResult) -> Tag:
    return Tag(_CHIPS[leader.judged.verdict], leader.judged.verdict.value)


def _arm(verdict: SweepVerdict, scores: ArmScores) -> ArmRow:
    role = scores.arm.role
    control = scores is verdict.control
    judged = next((leader.judged for leader in verdict.leaders if leader.scores is scores), None)
    difference = None if control else between(scores, verdict.control, verdict.sign)
    interval = judged.interval if judged is not None else difference.interval() if difference else None
    return ArmRow(
        kind=role.value if role in (Role.CONTROL, Role.LEADER) else "ablation",
        role=_role(scores.arm),
        number=scores.arm.trial,
        schedule=ScheduleCell.of_schedule(scores.arm.schedule),
        mean=number(scores.summary.mean if scores.values else None),
        deviation=number(scores.summary.deviation),
        seeds=_seeds(scores),
        scores=tuple(number(scores.scores.get(seed)) for seed in range(verdict.seeds)),
        difference=_spread(difference, interval, verdict.sign),
    )


def _leader(verdict: SweepVerdict, leader: LeaderResult, again: Shrinkage | None) -> LeaderRow:
    parts = (leader.loss, leader.rates, leader.switching, leader.one_loss)
    return LeaderRow(
        number=leader.scores.arm.trial,
        tag=_tag(leader),
        p_value=f"{leader.judged.p_value:.3f}" if leader.judged.p_value >= 0.001 else "< 0.001",
        again=MISSING if again is None else f"{again.searched:.3f} → {again.mean:.3f}",
        images=_between(leader.image_interval, verdict.sign),
        parts=tuple(_spread(part, part.interval() if part else None) for part in parts),
    )


def _role(arm: Arm) -> str:
    """Of a row: an ablation stands under its leader, whose number it need not repeat."""
    if arm.role in (Role.CONTROL, Role.LEADER):
        return f"{ROLES[arm.role]} #{arm.trial}"
    return ROLES[arm.role].removesuffix(" of")


def _seeds(scores: ArmScores) -> str:
    ends = ((scores.diverged, "diverged"), (scores.failed, "failed"))
    told = ", ".join(f"{count} {end}" for count, end in ends if count)
    return f"{len(scores.values)}{f' ({told})' if told else ''}"


def _spread(
    difference: PairedDifference | None, interval: tuple[float, float] | None, sign: float = 1.0
) -> Spread:
    if difference is None:
        return Spread(MISSING)
    return Spread(signed(sign * difference.mean), _between(interval, sign))


def _between(interval: tuple[float, float] | None, sign: float) -> str:
    if interval is None or not all(map(math.isfinite, interval)):
        return ""
    low, high = sorted(sign * end for end in interval)
    return f"{low:+.3f} to {high:+.3f}"
