"""MLflow's SQLite database: made whole or not at all, and moved with its home."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from lossweep.dashboards.mlflow.internals.locations import artifact_location, move_artifacts
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


def moved_from(database: Path, artifacts: Path, experiment: str) -> Path | None:
    """Return where a home lay before it was moved or copied, as MLflow still has it; None when it was not.

    MLflow keeps absolute locations: it would make the old folder again, or write into the one copied from.

    Args:
        database: MLflow's.
        artifacts: where the home keeps its artifacts now. A database that does not lie beside them is
            shared by several homes, and was not moved with this one.
        experiment: the project's experiment.
    """
    if not database.exists() or database.absolute().parent != artifacts.absolute().parent:
        return None
    location = urlsplit(artifact_location(database, experiment) or "")
    before = Path(unquote(location.path))
    if location.scheme != "file" or before.name != artifacts.name or before == artifacts.absolute():
        return None
    if before.exists() and artifacts.exists() and before.samefile(artifacts):  # by way of a link
        return None
    return before


def settle(database: Path, artifacts: Path, experiment: str) -> None:
    """Let MLflow's artifacts lie where a home that was moved or copied has them."""
    before = moved_from(database, artifacts, experiment)
    if before is not None:
        move_artifacts(database, before.as_uri(), artifacts.absolute().as_uri())
