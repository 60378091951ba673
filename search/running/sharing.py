"""How sweeps on one cluster share it: by priority, and in turns where that leaves a rest.

A sweep's workers hold their resources from trial to trial, so that the cluster's own queue would let the
first sweep keep everything. Each driver therefore asks the database, whenever it could start a trial, which
sweeps have a living driver on the same cluster, and starts none beyond its share. What it holds beyond that,
since another sweep has come, it gives back as its trials end: none is cut short.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import floor

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A sweep that runs on a cluster.

    Attributes:
        sweep: its name.
        priority: a sweep of twice the priority gets twice the slots.
        at_most: slots that it can use; None for any number.
        turns: attempts that it has started since the newest of the sweeps came.
    """

    sweep: str
    priority: float = 1.0
    at_most: int | None = None
    turns: int = 0


def shares(slots: int, claims: Iterable[Claim]) -> dict[str, int]:
    """Return how many slots each sweep may hold.

    Everyone gets the whole slots that its priority makes; what a sweep cannot use goes to the others. Slots
    that are left go, one each, to those that had the fewest turns for their priority: with more sweeps than
    slots, they take turns, trial by trial.

    Args:
        slots: how many trials fit on the cluster.
        claims: of the sweeps, at least one.
    """
    waiting, given, left = sorted(claims, key=lambda claim: claim.sweep), dict[str, int](), slots
    while waiting:
        weight = sum(claim.priority for claim in waiting)
        sated = [c for c in waiting if c.at_most is not None and c.at_most <= left * c.priority / weight]
        if not sated:
            break
        for claim in sated:
            given[claim.sweep] = claim.at_most or 0
        left -= sum(claim.at_most or 0 for claim in sated)
        waiting = [claim for claim in waiting if claim not in sated]
    whole = {c.sweep: floor(left * c.priority / weight + 1e-9) for c in waiting}
    rest = left - sum(whole.values())
    first = sorted(waiting, key=lambda claim: (claim.turns / claim.priority, -claim.priority))[:rest]
    return given | whole | {claim.sweep: whole[claim.sweep] + 1 for claim in first}


class Share:
    """The share of one sweep, asked for often and looked up now and then; says when it changes."""

    def __init__(
        self,
        sweep: str,
        claims: Callable[[], Sequence[Claim]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look nothing up yet.

        Args:
            sweep: its name.
            claims: the sweeps on the cluster by now.
            clock: seconds.
        """
        self._sweep, self._claims, self._clock = sweep, claims, clock
        self._looked = -LOOK_EVERY_S
        self._known: Sequence[Claim] = ()
        self._said: tuple[int, tuple[str, ...]] | None = None

    def __call__(self, slots: int) -> int:
        """Return how many of the cluster's slots the sweep may hold now."""
        now = self._clock()
        if now - self._looked >= LOOK_EVERY_S:
            self._looked, self._known = now, self._claims()
        others = tuple(sorted(claim.sweep for claim in self._known if claim.sweep != self._sweep))
        allowed = shares(slots, self._known).get(self._sweep, 0) if others else slots
        if others != (self._said[1] if self._said else ()):
            self._said = allowed, others
            if others:
                log.warning(
                    "Sharing the cluster with %s: up to %d of %d trials at a time are this sweep's%s.",
                    ", ".join(others),
                    allowed,
                    slots,
                    "" if allowed else ", which waits for its turn",
                )
            else:
                log.warning("The cluster is this sweep's alone: up to %d trials at a time.", slots)
        return allowed


def cluster_of(address: str | None) -> str:
    """Return what a cluster is called in a lease; empty for a driver's private one.

    Args:
        address: as a driver is given it; ``auto`` stands for the cluster that this machine is part of, whose
            address Ray tells its jobs by ``RAY_ADDRESS``.
    """
    if address == "auto":
        return os.environ.get("RAY_ADDRESS") or address
    return address or ""
