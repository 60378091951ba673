from __future__ import annotations

from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from small_sweeps import PRIOR, spec
from sqlalchemy import Engine, event, inspect, text

from lossweep.search.ledger import Ledger, migrations
from lossweep.search.ledger.database import open_engine, open_storage
from lossweep.search.ledger.migrations import VERSION_TABLE, upgrade
from lossweep.search.ledger.tables import Base
from lossweep.search.running.driver import create_sweep
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.spaces.files.errors import UserError
from tests.search.study.journal_contract import evaluation


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


def contents(engine: Engine) -> dict[str, tuple[list[str], list[tuple[object, ...]]]]:
    """Every table: what it is made of, as the database tells, and its rows."""
    found = {}
    tables = inspect(engine)
    with engine.connect() as connection:
        for name in sorted(tables.get_table_names()):
            made = [*tables.get_columns(name), *tables.get_indexes(name), *tables.get_foreign_keys(name)]
            rows = connection.execute(text(f"SELECT * FROM {name}")).all()
            found[name] = [str(part) for part in made], sorted((tuple(row) for row in rows), key=str)
    return found


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    with closing(Ledger(database_url)) as ledger:
        create_sweep(ledger, spec(), PRIOR)
        journal = ledger.journal("small")
        journal.record_evaluation(0, evaluation(1))
        journal.record_decision(0, DecisionRecord(1, Decision.CONTINUE, "first"))
        ledger.attempt_log("small").start(0, None)
    engine = open_engine(database_url)
    before = contents(engine)
    assert {len(before[name][1]) for name in Base.metadata.tables} == {1}
    assert len(before[VERSION_TABLE][1]) == 1
    written: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        written.append(statement.split()[0].upper())

    upgrade(engine)
    assert not {"CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE"} & set(written), written
    assert contents(engine) == before
    engine.dispose()


def test_two_processes_that_migrate_at_once_make_the_tables_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(database_url)
    upgrade(engine)
    before = contents(engine)
    # What the second one read before it had the lock: nothing was there yet.
    monkeypatch.setattr(migrations, "is_current", lambda engine: None)
    upgrade(engine)
    assert contents(engine) == before
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
