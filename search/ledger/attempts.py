"""The attempts at the trials of one sweep: which worker tried when, and how it ended."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from lossweep.search.ledger.tables import AttemptRow
from lossweep.search.ledger.transactions import Transactions
from lossweep.search.study.faults import Fault, FaultKind


@dataclass(frozen=True, slots=True)
class Attempt:
    """One worker's try at one trial; see `search.ledger.tables.AttemptRow`."""

    trial: int
    attempt: str
    micro_batch: int | None
    started: datetime
    ended: datetime | None
    fault: FaultKind | None
    message: str


class LedgerAttempts:
    """The attempts of one sweep; implements `search.running.dispatcher.AttemptLog`."""

    def __init__(self, database: Transactions, sweep_id: int) -> None:
        self._database = database
        self._sweep_id = sweep_id

    def start(self, trial: int, micro_batch: int | None) -> str:
        """Write that a worker is to start on a trial; return the attempt's fencing id."""
        attempt = uuid.uuid4().hex

        def insert(session: Session) -> None:
            session.add(
                AttemptRow(
                    sweep_id=self._sweep_id,
                    trial=trial,
                    attempt=attempt,
                    micro_batch=micro_batch,
                    started=datetime.now(UTC),
                )
            )

        self._database.do(insert)
        return attempt

    def end(self, attempt: str, fault: Fault | None = None, message: str = "") -> None:
        """Write how an attempt ended."""
        values = {
            "ended": datetime.now(UTC),
            "fault": "" if fault is None else fault.kind.value,
            "message": message if fault is None else fault.message,
        }
        statement = update(AttemptRow).where(AttemptRow.attempt == attempt).values(**values)
        self._database.do(lambda session: session.execute(statement))

    def end_lost(self) -> None:
        """Write of attempts that a dead driver left open that they are over."""
        mine = AttemptRow.sweep_id == self._sweep_id
        statement = update(AttemptRow).where(mine, AttemptRow.ended.is_(None))
        values = {"ended": datetime.now(UTC), "message": "its driver died"}
        self._database.do(lambda session: session.execute(statement.values(**values)))

    def all(self, trial: int | None = None) -> tuple[Attempt, ...]:
        """The attempts at one trial or at all, oldest first."""
        query = select(AttemptRow).where(AttemptRow.sweep_id == self._sweep_id).order_by(AttemptRow.id)
        if trial is not None:
            query = query.where(AttemptRow.trial == trial)
        return tuple(_attempt(row) for row in self._database.do(lambda session: list(session.scalars(query))))

    def faults(self, trial: int) -> tuple[FaultKind, ...]:
        """The kinds of the trial's faults so far."""
        return tuple(one.fault for one in self.all(trial) if one.fault is not None)

    def micro_batch(self, trial: int) -> int | None:
        """The micro-batch of its newest attempt."""
        attempts = self.all(trial)
        return attempts[-1].micro_batch if attempts else None


def _attempt(row: AttemptRow) -> Attempt:
    values = {name: getattr(row, name) for name in Attempt.__dataclass_fields__}
    return Attempt(**{**values, "fault": FaultKind(row.fault) if row.fault else None})
