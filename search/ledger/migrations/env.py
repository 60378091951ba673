"""Alembic's entry: runs the steps on the connection that `search.ledger.migrations.upgrade` gives."""

from __future__ import annotations

from alembic import context

from lossweep.search.ledger.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table="lossweep_alembic_version",
)
context.run_migrations()
