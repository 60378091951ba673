"""MLflow's tables in a new database, without a connection being left open."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from lossweep.search.addresses import sqlite_url

_PUBLIC_WAY: Final = (
    "import sys, mlflow; mlflow.MlflowClient(tracking_uri=sys.argv[1]).search_experiments(max_results=1)"
)

_VERSION_TABLE: Final = "alembic_version"
_FIRST_TABLES: Final = ("experiments", "runs")


def make_tables(database: Path, artifacts: Path) -> None:
    """Make MLflow's tables in a SQLite file.

    Args:
        database: the file, which does not exist yet.
        artifacts: where MLflow's default experiment keeps its artifacts; left to MLflow where its store
            can't be made as it is today.
    """
    try:
        _by_store(database, artifacts)
    except (ImportError, AttributeError, TypeError):
        _by_client(database)


def _by_store(database: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(  # type: ignore[no-untyped-call] # of MLflow
        sqlite_url(database), artifacts.absolute().as_uri()
    )
    store.engine.dispose()


def _by_client(database: Path) -> None:
    """In a process of its own: the client keeps its store, and the store its connections, to the end."""
    command = [sys.executable, "-c", _PUBLIC_WAY, sqlite_url(database)]
    subprocess.run(command, check=True, capture_output=True, env=dict(os.environ))


@dataclass(frozen=True, slots=True)
class Tables:
    """What an open SQLite database holds.

    Attributes:
        names: of its tables, but for the one that counts MLflow's migrations.
        version: of MLflow's tables, ``none`` where it is not written.
    """

    names: frozenset[str]
    version: str

    @classmethod
    def of(cls, database: sqlite3.Connection) -> Tables:
        """Read them."""
        rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        names = frozenset(str(row[0]) for row in rows)
        told = _VERSION_TABLE in names and database.execute(f"SELECT * FROM {_VERSION_TABLE}").fetchone()
        return cls(names - {_VERSION_TABLE}, str(told[0]) if told else "none")

    @property
    def mlflows(self) -> bool:
        """Whether MLflow made them, or began to."""
        return not self.names.isdisjoint(_FIRST_TABLES)


@lru_cache(maxsize=1)
def schema_wanted() -> str:
    """Return the version of the tables that the installed MLflow works with."""
    from alembic.script import ScriptDirectory

    spec = importlib.util.find_spec("mlflow")
    places = spec.submodule_search_locations if spec is not None else None
    folder = Path(next(iter(places or [""]))) / "store" / "db_migrations"
    return str(ScriptDirectory(str(folder)).get_current_head())
