"""The one database of a workspace: how it is opened, and what is waited for when it is away for a moment."""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import Engine, create_engine, event, exc, make_url, text
from sqlalchemy.engine import URL

from lossweep.spaces.files.errors import Problem, UserError

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

BUSY_TIMEOUT_MS = 30_000
"""How long SQLite itself waits for another writer before it says "locked"."""

WAIT_AT_MOST_S = 900.0
"""How long a call waits for a database that is away, before the driver gives up (and can be resumed)."""

NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "fuse.glusterfs",
        "lustre",
        "gpfs",
        "beegfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "davfs",
        "fuse.davfs2",
        "ncpfs",
        "orangefs",
        "pvfs2",
    ]
)
"""File systems on which SQLite's locks and its shared memory (WAL) are not to be relied on."""

_SQLITE_PASSING = ("locked", "busy", "disk i/o error", "is full", "unable to open")


def shown(url: str | URL) -> str:
    """The URL as it may be printed, logged and tracked: a password in it is replaced by ``***``."""
    return make_url(url).render_as_string(hide_password=True)


def open_engine(url: str) -> Engine:
    """Open a database: SQLite in WAL mode, PostgreSQL with connections that are tested before use.

    Raises:
        UserError: naming the database (never its password) when it is of another kind, lies on a network file
            system, or cannot be reached.
    """
    parsed = _checked(url)
    engine = create_engine(parsed, **_engine_options(parsed))
    _configure(engine)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except exc.DBAPIError as error:
        engine.dispose()
        reason = str(error.orig).strip().splitlines()[0]
        raise UserError(Problem(f"database {shown(parsed)} cannot be opened: {reason}")) from None
    return engine


def open_storage(url: str) -> RDBStorage:
    """Open the Optuna storage in the same database; its calls wait for it as `patient` does.

    Raises:
        UserError: when its tables are of an Optuna that this one cannot read.
    """
    parsed = _checked(url)
    # RDBStorage runs str.format over its URL.
    plain = parsed.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    try:
        with _alone(parsed):
            storage = PatientStorage(plain, engine_kwargs=_engine_options(parsed))
    except RuntimeError as error:  # Optuna's word for tables of another version
        raise UserError(Problem(f"database {shown(parsed)} cannot be opened: {error}")) from None
    _configure(storage.engine)
    storage.engine.dispose()  # connections opened before `_configure`
    return storage


@contextmanager
def _alone(url: URL) -> Iterator[None]:
    """Hold off other processes: Optuna creates its tables without asking whether another is doing so."""
    if url.get_backend_name() == "sqlite":
        if url.database is None or url.database == ":memory:":
            yield
            return
        with FileLock(f"{url.database}.lock"):
            yield
        return
    engine = create_engine(url, **_engine_options(url))
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(7105524)"))  # released with the connection
            yield
            connection.execute(text("SELECT pg_advisory_unlock(7105524)"))
    finally:
        engine.dispose()


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

    A transaction that broke off was rolled back, so it is simply done again. What still fails after
    `WAIT_AT_MOST_S` is raised.
    """

    @functools.wraps(call)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> R:
        started: float | None = None
        pause = 0.25
        while True:
            try:
                result = call(*args, **kwargs)
            except (exc.SQLAlchemyError, StorageInternalError) as error:
                if not is_passing(error):
                    raise
                now = time.monotonic()
                if started is None:
                    started = now
                    log.warning("The database does not answer; waiting for it (%s).", _first_line(error))
                if now - started > WAIT_AT_MOST_S:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 5.0)
            else:
                if started is not None:
                    log.warning("The database answers again after %.0f s.", time.monotonic() - started)
                return result

    return waiting


class PatientStorage(RDBStorage):
    """An Optuna storage whose every call waits for a database that is away for a moment."""


for _name in sorted(
    BaseStorage.__abstractmethods__ | {"_create_new_trial", "_get_trials", "_set_trial_param"}
):
    if _name in RDBStorage.__dict__:
        setattr(PatientStorage, _name, patient(getattr(RDBStorage, _name)))


@contextmanager
def writing(engine: Engine) -> Iterator[Any]:
    """A connection with the write lock already taken, so that reading before writing cannot go stale."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            # One key for all of lossweep's schema changes; released with the transaction.
            connection.execute(text("SELECT pg_advisory_xact_lock(7105523)"))
        yield connection
        connection.commit()


def file_system_of(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The type of the file system ``path`` lies on, or ``unknown`` where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    target = os.path.realpath(path)
    kind, longest = "unknown", -1
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        # Of several mounts on one point the last one counts.
        if inside and len(point) >= longest:
            kind, longest = fields[2], len(point)
    return kind


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):  # the latter of a port that is no number
        parsed = None
    # An @ that belongs to a password ends it early: its rest would be printed as the host's name.
    if parsed is None or "@" in (parsed.host or ""):
        raise UserError(
            Problem(
                "the database URL cannot be read",
                allowed="sqlite:////absolute/path.db or postgresql://user:password@host:port/database",
                hint="an @ in a password is written %40",
            )
        )
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise UserError(
            Problem(
                "this kind of database is not supported",
                found=parsed.drivername,
                allowed="sqlite, postgresql",
            )
        )
    if not parsed.database or parsed.database == ":memory:":
        raise UserError(
            Problem("a sweep needs a database that outlives it", found=shown(parsed), allowed="a file")
        )
    folder = Path(parsed.database).absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "choose another: --home or LOSSWEEP_HOME"
        raise UserError(Problem(f"folder {folder} cannot be made: {error.strerror}", hint=hint)) from None
    kind = file_system_of(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        raise UserError(
            Problem(
                f"an SQLite database must not lie on a network file system ({kind})",
                found=str(parsed.database),
                hint="put LOSSWEEP_HOME on a local disk, or give a PostgreSQL URL in LOSSWEEP_DATABASE",
            )
        )
    return parsed


def _engine_options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_MS / 1000}}
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}


def _configure(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing; a power cut at most the last evaluations, which checkpoints re-emit.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return str(getattr(cause, "orig", cause)).strip().partition("\n")[0]
