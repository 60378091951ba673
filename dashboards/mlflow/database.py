"""Makes MLflow's SQLite database whole or not at all."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from lossweep.dashboards.mlflow.internals.tables import make_tables


def make_database(database: Path, artifacts: Path) -> None:
    """Make the database when there is none.

    MLflow makes one by dozens of migrations over several seconds, and SQLite keeps what was done of them: one
    whose process is killed meanwhile can never be opened again. So it is made beside its name, and renamed.

    Args:
        database: the file.
        artifacts: where MLflow's default experiment, which lossweep does not use, keeps its artifacts.
    """
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):
        if database.exists():  # another process made it meanwhile
            return
        beside = database.with_name(f"{database.name}.making")
        for left in (beside, beside.with_name(f"{beside.name}-journal")):  # by one that was killed
            left.unlink(missing_ok=True)
        make_tables(beside, artifacts)
        beside.replace(database)
