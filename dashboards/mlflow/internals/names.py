"""Names that MLflow gives a meaning to: tags, environment variables, loggers, error codes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from lossweep.spaces.files.errors import Problem

PARENT_TAG: Final = "mlflow.parentRunId"
RUN_NAME_TAG: Final = "mlflow.runName"
NOTE_TAG: Final = "mlflow.note.content"
CONTEXT_TAG: Final = "mlflow.data.context"
KIND_TAG: Final = "mlflow.experimentKind"

MACHINE_LEARNING: Final = "custom_model_development"
"""The experiment kind whose page lists runs, rather than an LLM's traces."""

QUIET: Final[Mapping[str, str]] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Else a model takes the pyproject.toml along that happens to lie where somebody stands.
    "MLFLOW_UV_AUTO_DETECT": "false",
    # The listener buffers and tries again by itself: a request that hangs in MLflow's retries helps nobody.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""No telemetry, no look for git, no bars and no long retries: to be set before MLflow is imported."""

LOGGERS: Final = ("alembic", "mlflow.store.db.utils", "mlflow.system_metrics")
"""Loggers that tell of every migration and of every start."""

REFUSALS: Final = frozenset(
    {
        "INVALID_PARAMETER_VALUE",
        "BAD_REQUEST",
        "MALFORMED_REQUEST",
        "RESOURCE_DOES_NOT_EXIST",
        "RESOURCE_ALREADY_EXISTS",
        "INVALID_STATE",
        "PERMISSION_DENIED",
    }
)
"""Error codes that say that the content is wrong, rather than the store away."""


def server_environment(store: str) -> dict[str, str]:
    """Return what ``mlflow server`` is told by its environment: the store, no jobs, no telemetry."""
    return {
        "MLFLOW_BACKEND_STORE_URI": store,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


SERVERS: Final = ("http", "https")
"""Kinds of addresses that name a server of MLflow's."""

DATABASES: Final = ("sqlite", "postgresql", "mysql", "mssql")
"""Kinds of databases that MLflow keeps its tables in; a driver may follow after a ``+``."""

ELSEWHERE: Final = ("databricks",)
"""Kinds whose address says nothing of whether they work: a profile elsewhere does."""

MODELS_ONLY: Final = ("uc", "databricks-uc")
"""Addresses of registries of models."""

PLUGINS: Final = "mlflow.tracking_store"
"""Entry points by which other packages bring kinds of stores."""

ALLOW_FOLDERS: Final = "MLFLOW_ALLOW_FILE_STORE"

OUTDATED: Final = "out-of-date database schema"
"""What MLflow says, with no error code of its own, of a database that another version made."""


def folders_allowed() -> bool:
    """Whether this person has told MLflow to go on recording into folders."""
    return os.environ.get(ALLOW_FOLDERS, "").lower() in ("true", "1")


def registered_name_problem(name: str) -> Problem | None:
    """What is wrong with a name for a registered model, as MLflow takes them."""
    if name.strip() and name not in (".", "..") and not set("/:'") & set(name):
        return None
    return Problem(
        "no name for a registered model", key="--as", found=repr(name), allowed="any without / : and '"
    )


def alias_problem(alias: str) -> Problem | None:
    """What is wrong with an alias of a registered model: MLflow keeps ``latest`` and versions for itself."""
    if re.fullmatch(r"[\w\-]+", alias) and alias.lower() != "latest" and not re.fullmatch(r"[vV]\d+", alias):
        return None
    allowed = "letters, digits, _ and -, but neither latest nor a version such as v1"
    return Problem("no alias of a registered model", key="--alias", found=repr(alias), allowed=allowed)
