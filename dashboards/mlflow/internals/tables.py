"""MLflow's tables in a new database, without a connection being left open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

_PUBLIC_WAY: Final = (
    "import sys, mlflow; mlflow.MlflowClient(tracking_uri=sys.argv[1]).search_experiments(max_results=1)"
)


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
        f"sqlite:///{database}", artifacts.absolute().as_uri()
    )
    store.engine.dispose()


def _by_client(database: Path) -> None:
    """In a process of its own: the client keeps its store, and the store its connections, to the end."""
    command = [sys.executable, "-c", _PUBLIC_WAY, f"sqlite:///{database}"]
    subprocess.run(command, check=True, capture_output=True, env=dict(os.environ))
