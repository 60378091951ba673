"""Where MLflow's tables say that artifacts lie."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

LOCATIONS: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""The tables and columns that hold addresses of artifacts; no public call changes one."""


def artifact_location(database: Path, experiment: str) -> str | None:
    """Return where an experiment keeps its artifacts, or None when there is no such experiment."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            query = "SELECT artifact_location FROM experiments WHERE name = ?"
            found = connection.execute(query, (experiment,)).fetchone()
        except sqlite3.DatabaseError:  # no tables yet, or none that can be read: MLflow says so
            return None
    return found[0] if found else None


def move_artifacts(database: Path, before: str, after: str) -> None:
    """Replace the beginning of all addresses of artifacts, in one transaction."""
    with closing(sqlite3.connect(database, timeout=30.0)) as connection, connection:
        known = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, column in LOCATIONS:
            if table in known:
                connection.execute(
                    f"UPDATE {table} SET {column} = :after || substr({column}, length(:before) + 1) "
                    f"WHERE {column} = :before OR substr({column}, 1, length(:before) + 1) = :before || '/'",
                    {"before": before, "after": after},
                )


def forget_locations() -> None:
    """Let MLflow look up anew where runs keep their artifacts.

    It remembers that by run alone, and a home has the runs of the one that it was copied from.
    """
    with suppress(ImportError, AttributeError):
        from mlflow.tracking._tracking_service import utils

        utils._artifact_repos_cache.clear()
