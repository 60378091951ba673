"""The first ledger: sweeps, evaluations, decisions, attempts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _moment(name: str, nullable: bool = True) -> sa.Column:  # type: ignore[type-arg]  # columns of any type
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _sweep() -> sa.Column[int]:
    return sa.Column(
        "sweep_id", sa.Integer, sa.ForeignKey("lossweep_sweeps.id", ondelete="CASCADE"), nullable=False
    )


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "lossweep_sweeps",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("spec_yaml", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("objective", sa.Text, nullable=False),
        sa.Column("metric", sa.String(200), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("prior", sa.Text, nullable=False),
        sa.Column("budget_trials", sa.Integer, nullable=False),
        sa.Column("budget_epochs", sa.Integer, nullable=False),
        sa.Column("slots", sa.Float, nullable=False),
        sa.Column("data_fingerprint", sa.String(80), nullable=False),
        sa.Column("code_version", sa.String(64), nullable=False),
        _moment("created", nullable=False),
        sa.Column("lease", sa.Text),
        sa.Column("lease_token", sa.String(32)),
        _moment("heartbeat"),
        _moment("stop_requested"),
        sa.Column("mlflow_run", sa.String(64)),
        sa.Column("ray_job", sa.String(64)),
    )
    op.create_table(
        "lossweep_evaluations",
        sa.Column("id", sa.Integer, primary_key=True),
        _sweep(),
        sa.Column("trial", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        _moment("recorded", nullable=False),
        sa.UniqueConstraint("sweep_id", "trial", "step", name="uq_lossweep_evaluations_step"),
    )
    op.create_table(
        "lossweep_decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        _sweep(),
        sa.Column("trial", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
        _moment("recorded", nullable=False),
    )
    op.create_index("ix_lossweep_decisions_trial", "lossweep_decisions", ["sweep_id", "trial"])
    op.create_table(
        "lossweep_attempts",
        sa.Column("id", sa.Integer, primary_key=True),
        _sweep(),
        sa.Column("trial", sa.Integer, nullable=False),
        sa.Column("attempt", sa.String(32), nullable=False, unique=True),
        sa.Column("micro_batch", sa.Integer),
        _moment("started", nullable=False),
        _moment("ended"),
        sa.Column("fault", sa.String(32), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
    )
    op.create_index("ix_lossweep_attempts_trial", "lossweep_attempts", ["sweep_id", "trial"])
