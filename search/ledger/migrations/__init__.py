"""The ledger's schema, step by step: an older database is brought forward, a newer one refused."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from lossweep.search.ledger.database import shown, writing
from lossweep.spaces.files.errors import Problem, UserError

VERSION_TABLE = "lossweep_alembic_version"
"""Apart from ``alembic_version``, which is Optuna's, in the same database."""


def upgrade(engine: Engine) -> None:
    """Bring the ledger's tables to this code's schema.

    Raises:
        UserError: when the database was written by a newer lossweep.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    if _current(engine) == head:
        return
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with writing(engine) as connection:
        # Read again, now alone: another process may have done it meanwhile.
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        current = context.get_current_revision()
        if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
            raise UserError(
                Problem(
                    f"database {shown(engine.url)} was written by a newer lossweep",
                    found=f"schema {current}",
                    allowed=f"up to schema {head}",
                    hint="update lossweep, or use another LOSSWEEP_HOME",
                )
            )
        if current != head:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _current(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE}
        ).get_current_revision()
