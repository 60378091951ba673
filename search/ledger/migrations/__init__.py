"""The ledger's schema, step by step: an older database is brought forward, a newer one refused."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from lossweep.search.addresses import shown
from lossweep.search.ledger.database import writing
from lossweep.spaces.files.errors import Problem, UserError

VERSION_TABLE = "lossweep_alembic_version"
"""Apart from ``alembic_version``, which is Optuna's, in the same database."""


def upgrade(engine: Engine) -> None:
    """Bring the ledger's tables to this code's schema.

    Raises:
        UserError: when the database was written by a newer lossweep.
    """
    if is_current(engine):
        return
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = _config()
    with writing(engine) as connection:
        # Read again, now alone: another process may have done it meanwhile.
        if _revision(connection) != ScriptDirectory.from_config(config).get_current_head():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def is_current(engine: Engine) -> bool | None:
    """Whether the ledger's tables are of this code's schema; None when there are none.

    Raises:
        UserError: when the database was written by a newer lossweep.
    """
    with engine.connect() as connection:
        revision = _revision(connection)
    scripts = ScriptDirectory.from_config(_config())
    head = scripts.get_current_head()
    if revision is None or revision == head:
        return None if revision is None else True
    if revision not in {script.revision for script in scripts.walk_revisions()}:
        raise UserError(
            Problem(
                f"database {shown(engine.url)} was written by a newer lossweep",
                found=f"schema {revision}",
                allowed=f"up to schema {head}",
                hint="update lossweep, or use another LOSSWEEP_HOME",
            )
        )
    return False


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()
