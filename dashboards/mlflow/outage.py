"""Tells a store that is away, where waiting may help, from content that it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lossweep.dashboards.mlflow.internals.names import OUTDATED, REFUSALS
from lossweep.search.addresses import shown
from lossweep.spaces.files.errors import Problem, UserError


def is_outage(error: Exception) -> bool:
    """Whether waiting may help: the store is away or busy, rather than the content wrong."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return str(error.error_code) not in REFUSALS and OUTDATED not in str(error)
    if isinstance(error, OSError):  # requests' errors are, too
        return True
    return type(error).__module__.startswith(("sqlalchemy", "requests", "urllib3"))


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn an outage into one line for the person at the command line.

    Raises:
        UserError: when the store can't be reached.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not is_outage(error):
            raise
        hint = "is its server running? $MLFLOW_TRACKING_URI says where it is looked for"
        # From None: the error's own text may hold the address with its password.
        found = f"{shown(uri)} ({type(error).__name__})"
        raise UserError(Problem("MLflow can't be reached", found=found, hint=hint)) from None
