"""The four verdicts on a leader: beats, ties, loses, cannot tell yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from lossweep.search.verdicts.paired import CONFIDENCE, PairedDifference, holm

FEWEST: Final = 3
"""Two seeds that happen to differ alike, as a score of few steps may, prove nothing."""


class Verdict(StrEnum):
    """What the confirmed seeds say of one arm against another."""

    BEATS = "beats"
    TIES = "ties"
    LOSES = "loses"
    CANNOT_TELL = "cannot tell yet"


@dataclass(frozen=True, slots=True)
class Judged:
    """One arm against another.

    Attributes:
        verdict: in words.
        difference: over the seeds.
        interval: of the mean, at the confidence that the number of leaders leaves each of them.
        p_value: adjusted for the number of leaders.
        seeds_needed: how many seeds it would probably take, where it cannot be told yet; None when that is
            unknown or too many.
        by_rates: whether there is a difference, but the arm's rates with plain cross-entropy have it as well,
            as far as can be told: the verdict is then the loss's over these.
    """

    verdict: Verdict
    difference: PairedDifference
    interval: tuple[float, float]
    p_value: float
    seeds_needed: int | None = None
    by_rates: bool = False


def judge(differences: Sequence[PairedDifference], margin: float) -> tuple[Judged, ...]:
    """Judge several arms against the same one, so that all verdicts together hold at the confidence.

    A tie comes first: an interval within the margin says that the arms are equal for all that matters, also
    where a tiny difference is beyond doubt. Then a difference counts when its p-value, adjusted by Holm's
    rule, is below the level. Everything else cannot be told yet.

    Args:
        differences: one an arm; above 0 where the arm is better.
        margin: a difference that nobody minds, in the objective's unit.
    """
    level = 1.0 - CONFIDENCE
    adjusted = holm([difference.p_value for difference in differences])
    # Bonferroni's share, which an interval can have; Holm's rule has none of its own.
    confidence = 1.0 - level / max(1, len(differences))
    judged = []
    for difference, p_value in zip(differences, adjusted, strict=True):
        low, high = difference.interval(confidence)
        needed = None
        if -margin <= low and high <= margin:
            verdict = Verdict.TIES
        elif p_value < level and len(difference.values) >= FEWEST:
            verdict = Verdict.BEATS if difference.mean > 0 else Verdict.LOSES
        else:
            verdict = Verdict.CANNOT_TELL
            needed = difference.seeds_for(margin, confidence)
        judged.append(Judged(verdict, difference, (low, high), p_value, needed))
    return tuple(judged)


def credited(judged: Judged, loss: PairedDifference | None, margin: float) -> Judged:
    """Return a verdict that credits the loss with nothing that its rates explain.

    A leader beats the control only if it also beats its own rates and lengths with plain cross-entropy. Both
    have to be shown, so neither test is adjusted for the other (Berger, 1982: an intersection-union test).

    Args:
        judged: the leader against the control.
        loss: the leader against its rates and lengths with plain cross-entropy; None where it has none.
        margin: see `judge`.
    """
    if judged.verdict is not Verdict.BEATS or loss is None:
        return judged
    (own,) = judge([loss], margin)
    if own.verdict is Verdict.BEATS:
        return judged
    return replace(judged, verdict=own.verdict, seeds_needed=own.seeds_needed, by_rates=True)
