"""Where a project's sweeps live on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from lossweep.search.addresses import sqlite_file, sqlite_url

HOME_VARIABLE = "LOSSWEEP_HOME"
DATABASE_VARIABLE = "LOSSWEEP_DATABASE"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True, slots=True)
class Workspace:
    """One folder with everything that sweeps leave behind, and the two stores that may lie elsewhere.

    Attributes:
        root: the folder, absolute.
        database_url: SQLAlchemy URL of the study's database, the one source of truth. May hold a password.
        mlflow_uri: where MLflow records, a view that can be rebuilt.
    """

    root: Path
    database_url: str = field(repr=False)
    mlflow_uri: str = field(repr=False)

    @staticmethod
    def given_addresses() -> tuple[str, ...]:
        """The addresses that the environment gives, which an error's text may quote with their passwords."""
        return tuple(filter(None, map(os.environ.get, (DATABASE_VARIABLE, TRACKING_VARIABLE))))

    @classmethod
    def at(cls, root: Path | str | None = None) -> Workspace:
        """Return the workspace at ``root``, else at ``$LOSSWEEP_HOME``, else at ``./runs``.

        ``$LOSSWEEP_DATABASE`` and ``$MLFLOW_TRACKING_URI`` move the two stores to servers.
        """
        folder = Path(root or os.environ.get(HOME_VARIABLE) or "runs").expanduser().absolute()
        return cls(
            root=folder,
            database_url=os.environ.get(DATABASE_VARIABLE) or sqlite_url(folder / "lossweep.db"),
            mlflow_uri=os.environ.get(TRACKING_VARIABLE) or sqlite_url(folder / "mlflow.db"),
        )

    @property
    def is_new(self) -> bool:
        """Whether no sweep was ever submitted here: the SQLite file is not there. False of a server."""
        file = sqlite_file(self.database_url)
        return file is not None and not file.exists()

    @property
    def cache(self) -> Path:
        """Decoded images, shared by all sweeps."""
        return self.root / "cache"

    @property
    def artifacts(self) -> Path:
        """What MLflow stores beside its database."""
        return self.root / "mlflow-artifacts"

    def checkpoints(self, sweep: str) -> Path:
        """The checkpoints of one sweep."""
        return self.root / "checkpoints" / sweep

    @property
    def trainings(self) -> Path:
        """The checkpoints of exported schedules that are trained; apart from those of sweeps."""
        return self.root / "trainings"

    def logs(self, sweep: str) -> Path:
        """The logs of one sweep: Ray's own noise and tracebacks."""
        return self.root / "logs" / sweep
