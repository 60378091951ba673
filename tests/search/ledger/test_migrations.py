from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from lossweep.search.ledger import Ledger
from lossweep.search.ledger.database import open_engine, open_storage
from lossweep.search.ledger.migrations import VERSION_TABLE, upgrade
from lossweep.search.ledger.tables import Base
from lossweep.spaces.files.errors import UserError


def test_migrating_gives_the_tables_of_the_models(database_url: str) -> None:
    ledger = Ledger(database_url)
    _ = ledger.storage  # Optuna's tables stand in the same database, and are none of ours
    engine = open_engine(database_url)
    ours = set(Base.metadata.tables)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "include_name": lambda name, kind, parents: kind != "table" or name in ours,
            },
        )
        assert compare_metadata(context, Base.metadata) == []
    assert {"studies", "alembic_version", VERSION_TABLE} <= set(inspect(engine).get_table_names())
    engine.dispose()
    ledger.close()


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    engine = open_engine(database_url)
    upgrade(engine)
    upgrade(engine)
    engine.dispose()


def test_a_database_of_before_the_ledger_is_brought_forward(database_url: str) -> None:
    from lossweep.search.ledger.database import open_storage

    storage = open_storage(database_url)
    storage.engine.dispose()
    ledger = Ledger(database_url)
    assert ledger.names() == ()
    ledger.close()


def test_a_newer_database_is_refused(database_url: str) -> None:
    engine = open_engine(database_url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(UserError, match=r"newer lossweep.*9999"):
        Ledger(database_url)


def test_a_study_of_a_newer_optuna_is_refused(database_url: str) -> None:
    storage = open_storage(database_url)
    with storage.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v9.0.0'"))
        connection.execute(text("UPDATE version_info SET schema_version = 99, library_version = '9.0.0'"))
    storage.engine.dispose()
    with pytest.raises(UserError, match=r"cannot be opened: .*set up by optuna 9\.0\.0"):
        open_storage(database_url)
