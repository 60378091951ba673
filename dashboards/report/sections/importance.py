"""Which loss, or which rates: what the parameters explain, and what confirmation's ablations say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lossweep.dashboards.numbers import MISSING
from lossweep.dashboards.report.plots.importance import LOSSES, RATES, Slot, slot_of
from lossweep.search.verdicts.result import SweepVerdict


@dataclass(frozen=True, slots=True)
class SlotShares:
    """What one part of the schedule explains.

    Attributes:
        name: of the part.
        losses: the share of its losses' parameters.
        rates: that of its rates and lengths.
    """

    name: str
    losses: str
    rates: str


@dataclass(frozen=True, slots=True)
class Importance:
    """What matters more, losses or rates.

    Attributes:
        sentence: both shares; empty while there are too few trials to say.
        slots: the shares by phase.
        earned: what the losses and what the rates earned, by the ablations; empty before there are any.
    """

    sentence: str
    slots: tuple[SlotShares, ...]
    earned: str


def importance(shares: Mapping[str, float], verdict: SweepVerdict | None) -> Importance:
    """Return what matters.

    Args:
        shares: of each parameter, from `dashboards.report.plots.importance.importances`.
        verdict: with ablations, where there is one.
    """
    by_slot: dict[Slot, float] = {}
    for name, share in shares.items():
        slot = slot_of(name)
        by_slot[slot] = by_slot.get(slot, 0.0) + share
    losses = sum(share for slot, share in by_slot.items() if slot.kind == LOSSES)
    rates = sum(share for slot, share in by_slot.items() if slot.kind == RATES)
    sentence = (
        f"Rates and lengths explain {rates:.0%} of what the parameters explain, the losses {losses:.0%}."
        if shares
        else ""
    )
    places = sorted(
        {slot.place for slot in by_slot}, key=lambda place: (not place.startswith("phase"), place)
    )
    return Importance(
        sentence,
        tuple(
            SlotShares(place, *(_share(by_slot.get(Slot(place, kind))) for kind in (LOSSES, RATES)))
            for place in places
        ),
        _earned(verdict),
    )


def _earned(verdict: SweepVerdict | None) -> str:
    """What of the confirmed difference the rates alone explain."""
    if verdict is None:
        return ""
    leader = verdict.headline
    if leader.loss is None or leader.rates is None:
        return ""
    difference = verdict.sign * leader.judged.difference.mean
    return (
        f"Confirmed over fresh seeds: of the {difference:+.3f} that trial {leader.scores.arm.trial} has over "
        f"the control, its rates and lengths alone explain {verdict.sign * leader.rates.mean:+.3f} (plain "
        f"cross-entropy trained with them), its losses {verdict.sign * leader.loss.mean:+.3f}."
    )


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.0%}"
