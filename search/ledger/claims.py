"""Which sweeps have a living driver on a cluster, and so share it."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from sqlalchemy import func, select

from lossweep.search.ledger.lease import is_in_force
from lossweep.search.ledger.tables import AttemptRow, SweepRow

if TYPE_CHECKING:
    from lossweep.search.ledger.sweeps import Ledger


class ActiveSweep(NamedTuple):
    """A sweep with a living driver.

    Attributes:
        name: of it.
        resources: what its sweep file says under ``resources``.
        attempts: started since the newest of the sweeps on that cluster came.
    """

    name: str
    resources: dict[str, Any]
    attempts: int


def active_sweeps(ledger: Ledger, cluster: str) -> tuple[ActiveSweep, ...]:
    """Return the sweeps whose leases are in force and held on a cluster.

    Args:
        ledger: of the database that all of them are in.
        cluster: as the leases' holders call it.
    """
    table = SweepRow
    query = select(table.id, table.name, table.spec_yaml, table.lease, table.heartbeat)
    rows = ledger.do(lambda session: session.execute(query.where(table.lease_token.is_not(None))).all())
    active = [
        row
        for row in rows
        if row.lease and row.lease.get("cluster") == cluster and is_in_force(ledger, row.lease, row.heartbeat)
    ]
    if not active:
        return ()
    since = max(datetime.fromisoformat(row.lease["since"]) for row in active)
    started = select(AttemptRow.sweep_id, func.count()).where(AttemptRow.started >= since)
    counts = dict(
        ledger.do(lambda session: session.execute(started.group_by(AttemptRow.sweep_id)).tuples().all())
    )
    return tuple(ActiveSweep(row.name, _resources(row.spec_yaml), counts.get(row.id, 0)) for row in active)


@lru_cache(maxsize=64)
def _resources(spec_yaml: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(spec_yaml).get("resources") or {}
    return found
