"""What is waited for when the database is away for a moment."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import exc

from lossweep.search.study.optuna_private import reported_value
from lossweep.trainers.patience import waited_for

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

WAIT_AT_MOST_S = 900.0
"""How long a call waits for a database that is away, before the driver gives up (and can be resumed)."""

_SQLITE_PASSING = ("locked", "busy", "disk i/o error", "is full", "unable to open")


def is_passing(error: BaseException) -> bool:
    """Whether an error says that the database is away for the moment, not that the statement is wrong."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, exc.TimeoutError):
        return True
    if not isinstance(error, exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if type(error.orig).__module__.startswith("sqlite3"):
        return any(word in str(error.orig).lower() for word in _SQLITE_PASSING)
    return isinstance(error, exc.OperationalError | exc.InterfaceError)


def patient(call: Callable[P, R]) -> Callable[P, R]:
    """Make ``call`` (one transaction) wait, with growing pauses, while the database does not answer.

    A transaction that broke off was rolled back, so it is simply done again. The first time at once: its
    connection may have been closed while nobody used it. What still fails after `WAIT_AT_MOST_S` is raised.
    """

    @functools.wraps(call)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> R:
        anew = True

        def once() -> R:
            nonlocal anew
            try:
                return call(*args, **kwargs)
            except (exc.SQLAlchemyError, StorageInternalError) as error:
                if not (anew and is_passing(error) and _is_closed(error)):
                    raise
            anew = False
            return call(*args, **kwargs)

        return waited_for(
            once,
            is_passing,
            _first_line,
            what="The database",
            back="answers again",
            longest=WAIT_AT_MOST_S,
            log=log,
        )

    return waiting


class PatientStorage(RDBStorage):
    """An Optuna storage whose every call waits for a database that is away for a moment."""

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Write a value of an unfinished trial, in one statement where Optuna needs four."""
        write = reported_value(self.engine.dialect.name, trial_id, step, intermediate_value)
        if write is not None:
            with self.engine.begin() as connection:
                if connection.execute(write).rowcount:
                    return
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)  # it says why not


for _name in sorted(
    BaseStorage.__abstractmethods__ | {"_create_new_trial", "_get_trials", "_set_trial_param"}
):
    if _name in RDBStorage.__dict__:
        setattr(PatientStorage, _name, patient(getattr(PatientStorage, _name)))


def _is_closed(error: BaseException) -> bool:
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return isinstance(cause, exc.DBAPIError) and cause.connection_invalidated


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return str(getattr(cause, "orig", cause)).strip().partition("\n")[0]
