"""How a sweep stands, by its lease: what a driver that died has left marked as running does not run."""

from __future__ import annotations

from dataclasses import replace

from lossweep.search.ledger.lease import LeaseStore, holder_of
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.sweep_state import SweepState


def standing(book: LeaseStore, written: SweepHistory) -> SweepHistory:
    """Return the sweep as it stands.

    Args:
        book: knows the lease.
        written: the sweep as its rows say.
    """
    holder, in_force = holder_of(book, written.name)
    if in_force:
        return replace(written, driver=str(holder)) if written.state is SweepState.RUNNING else written
    gone = f"its driver, {holder}, is gone" if holder is not None else "it has no driver"
    return written.without_driver(gone)
