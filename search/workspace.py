"""Where a project's sweeps live on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from lossweep.search.addresses import sqlite_file, sqlite_url
from lossweep.trainers.loop.checkpoint_storage import Place, located

HOME_VARIABLE = "LOSSWEEP_HOME"
DATABASE_VARIABLE = "LOSSWEEP_DATABASE"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
CHECKPOINTS_VARIABLE = "LOSSWEEP_CHECKPOINTS"
CACHE_VARIABLE = "LOSSWEEP_CACHE"


@dataclass(frozen=True, slots=True)
class Workspace:
    """One folder with everything that sweeps leave behind, and what of it may lie elsewhere.

    Attributes:
        root: the folder, absolute.
        database_url: SQLAlchemy URL of the study's database, the one source of truth. May hold a password.
        mlflow_uri: where MLflow records, a view that can be rebuilt.
        kept: where the checkpoints are: a folder that all machines see, an object store's URL, or empty for
            ``root``.
        decoded: a folder for decoded images, on each machine its own; empty for ``root``.
    """

    root: Path
    database_url: str = field(repr=False)
    mlflow_uri: str = field(repr=False)
    kept: str = ""
    decoded: str = ""

    @staticmethod
    def given_addresses() -> tuple[str, ...]:
        """The addresses that the environment gives, which an error's text may quote with their passwords."""
        return tuple(filter(None, map(os.environ.get, (DATABASE_VARIABLE, TRACKING_VARIABLE))))

    @classmethod
    def at(cls, root: Path | str | None = None) -> Workspace:
        """Return the workspace at ``root``, else at ``$LOSSWEEP_HOME``, else at ``./runs``.

        ``$LOSSWEEP_DATABASE`` and ``$MLFLOW_TRACKING_URI`` move the two stores to servers,
        ``$LOSSWEEP_CHECKPOINTS`` the checkpoints and ``$LOSSWEEP_CACHE`` the decoded images.

        Raises:
            UserError: the checkpoints' URL cannot be one of an object store.
        """
        kept = os.environ.get(CHECKPOINTS_VARIABLE, "").rstrip("/")
        located(kept)
        decoded = os.environ.get(CACHE_VARIABLE)
        folder = Path(root or os.environ.get(HOME_VARIABLE) or "runs").expanduser().absolute()
        return cls(
            root=folder,
            database_url=os.environ.get(DATABASE_VARIABLE) or sqlite_url(folder / "lossweep.db"),
            mlflow_uri=os.environ.get(TRACKING_VARIABLE) or sqlite_url(folder / "mlflow.db"),
            kept=kept if "://" in kept or not kept else str(Path(kept).expanduser().absolute()),
            decoded=str(Path(decoded).expanduser().absolute()) if decoded else "",
        )

    @property
    def is_new(self) -> bool:
        """Whether no sweep was ever submitted here: the SQLite file is not there. False of a server."""
        file = sqlite_file(self.database_url)
        return file is not None and not file.exists()

    @property
    def cache(self) -> Path:
        """Decoded images, shared by all sweeps; a machine without them decodes them once, at this path."""
        return Path(self.decoded) if self.decoded else self.root / "cache"

    @property
    def artifacts(self) -> Path:
        """What MLflow stores beside its database."""
        return self.root / "mlflow-artifacts"

    def checkpoints(self, sweep: str) -> Place:
        """The checkpoints of one sweep."""
        return (located(self.kept) if self.kept else self.root / "checkpoints") / sweep

    @property
    def trainings(self) -> Path:
        """The checkpoints of exported schedules that are trained; apart from those of sweeps."""
        return self.root / "trainings"

    def logs(self, sweep: str) -> Path:
        """The logs of one sweep: Ray's own noise and tracebacks."""
        return self.root / "logs" / sweep
