"""The ledger's tables, beside those of the Optuna study in the same database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Float, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always aware and in UTC (SQLite keeps no time zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store as UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Read as aware UTC."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class JsonText(TypeDecorator[Any]):
    """Plain data as JSON text; unlike a database's own JSON type it keeps NaN and infinities of figures."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:
        """Write JSON."""
        return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:
        """Read JSON."""
        return None if value is None else json.loads(value)


class Base(DeclarativeBase):
    """The ledger's metadata."""


class SweepRow(Base):
    """One sweep: what was asked for, how it stands, who drives it.

    Attributes:
        state: a `search.study.sweep_state.SweepState`.
        lease: who drives it (`search.ledger.lease.Holder` as plain data), or None.
        lease_token: identifies the lease; compared in every change of it.
        stop_requested: somebody ran ``lossweep stop``.
        note: why it stands as it does, one line.
    """

    __tablename__ = "lossweep_sweeps"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    spec_yaml: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16), default="created")
    note: Mapped[str] = mapped_column(Text, default="")
    objective: Mapped[str] = mapped_column(Text)
    metric: Mapped[str] = mapped_column(String(200))
    direction: Mapped[str] = mapped_column(String(16))
    prior: Mapped[Any] = mapped_column(JsonText)
    budget_trials: Mapped[int]
    budget_epochs: Mapped[int]
    slots: Mapped[float] = mapped_column(Float, default=1.0)
    data_fingerprint: Mapped[str] = mapped_column(String(80), default="")
    code_version: Mapped[str] = mapped_column(String(64), default="")
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    lease: Mapped[Any | None] = mapped_column(JsonText)
    lease_token: Mapped[str | None] = mapped_column(String(32))
    heartbeat: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stop_requested: Mapped[datetime | None] = mapped_column(UtcDateTime)
    mlflow_run: Mapped[str | None] = mapped_column(String(64))
    ray_job: Mapped[str | None] = mapped_column(String(64))


class EvaluationRow(Base):
    """One evaluation of one trial, with what the decision needs to be repeated word for word."""

    __tablename__ = "lossweep_evaluations"
    __table_args__ = (UniqueConstraint("sweep_id", "trial", "step", name="uq_lossweep_evaluations_step"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    sweep_id: Mapped[int] = mapped_column(ForeignKey("lossweep_sweeps.id", ondelete="CASCADE"))
    trial: Mapped[int]
    step: Mapped[int]
    data: Mapped[Any] = mapped_column(JsonText)
    recorded: Mapped[datetime] = mapped_column(UtcDateTime)


class DecisionRow(Base):
    """One decision about one trial, with its figures."""

    __tablename__ = "lossweep_decisions"
    __table_args__ = (Index("ix_lossweep_decisions_trial", "sweep_id", "trial"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    sweep_id: Mapped[int] = mapped_column(ForeignKey("lossweep_sweeps.id", ondelete="CASCADE"))
    trial: Mapped[int]
    step: Mapped[int]
    action: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    figures: Mapped[Any] = mapped_column(JsonText)
    recorded: Mapped[datetime] = mapped_column(UtcDateTime)


class AttemptRow(Base):
    """One worker's try at one trial.

    Attributes:
        attempt: the fencing id: what a worker reports under an older one is ignored.
        micro_batch: images a forward pass, when less than the batch.
        fault: the `search.study.faults.FaultKind` that ended it, empty when it ended well or still goes on.
    """

    __tablename__ = "lossweep_attempts"
    __table_args__ = (Index("ix_lossweep_attempts_trial", "sweep_id", "trial"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    sweep_id: Mapped[int] = mapped_column(ForeignKey("lossweep_sweeps.id", ondelete="CASCADE"))
    trial: Mapped[int]
    attempt: Mapped[str] = mapped_column(String(32), unique=True)
    micro_batch: Mapped[int | None]
    started: Mapped[datetime] = mapped_column(UtcDateTime)
    ended: Mapped[datetime | None] = mapped_column(UtcDateTime)
    fault: Mapped[str] = mapped_column(String(32), default="")
    message: Mapped[str] = mapped_column(Text, default="")
