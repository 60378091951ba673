"""The one database of a workspace: how it is opened, to write or only to look."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import Engine, create_engine, event, exc, make_url, text
from sqlalchemy.engine import URL, ExceptionContext

from lossweep.search.addresses import shown, without_secrets
from lossweep.search.ledger.file_systems import NETWORK_FILE_SYSTEMS, file_system_of
from lossweep.search.ledger.patience import PatientStorage
from lossweep.spaces.files.errors import Problem, UserError

BUSY_TIMEOUT_MS = 30_000
"""How long SQLite itself waits for another writer before it says "locked"."""


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """Open a database: SQLite in WAL mode, or PostgreSQL.

    Args:
        url: SQLAlchemy's.
        read_only: only look: nothing is made or changed, and a file on a read-only disk is read.

    Raises:
        UserError: naming the database (never its password) when it is of another kind, lies on a network file
            system, is damaged, may not be written, or cannot be reached.
    """
    parsed = _checked(url, read_only)
    try:
        engine = create_engine(parsed, **_engine_options(parsed, read_only))
    except ModuleNotFoundError:
        raise UserError(
            Problem(
                "PostgreSQL needs the package psycopg, which is not installed",
                hint="pip install 'lossweep[postgresql]'",
            )
        ) from None
    _configure(engine, read_only)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            if parsed.get_backend_name() == "sqlite":
                _try_out(connection, read_only)
    except (exc.DBAPIError, sqlite3.Error, TypeError) as error:  # the last of an option that there is not
        engine.dispose()
        raise in_words(error, parsed) or _cannot_be_opened(parsed, error) from None
    except UserError:
        engine.dispose()
        raise
    return engine


def open_storage(url: str, *, read_only: bool = False) -> RDBStorage:
    """Open the Optuna storage in the same database; its calls wait for it as `patient` does.

    Args:
        url: SQLAlchemy's.
        read_only: only look; the storage's tables must be there.

    Raises:
        UserError: when its tables are of an Optuna that this one cannot read, or are damaged.
    """
    parsed = _checked(url, read_only)
    # RDBStorage runs str.format over its URL.
    plain = parsed.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    options = _engine_options(parsed, read_only)
    try:
        with nullcontext() if read_only else _alone(parsed):
            storage = PatientStorage(plain, engine_kwargs=options, skip_table_creation=read_only)
    except RuntimeError as error:  # Optuna's word for tables of another version
        raise _cannot_be_opened(parsed, error) from None
    except (exc.DBAPIError, StorageInternalError, sqlite3.Error) as error:
        if (said := in_words(error, parsed)) is not None:
            raise said from None
        raise
    _configure(storage.engine, read_only)
    storage.engine.dispose()  # connections opened before `_configure`
    return storage


def in_words(error: BaseException, url: URL) -> UserError | None:
    """Say that a database is damaged or may not be written, and what to do; None of any other error."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    reason = str(getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None))
    found, file = _first_line(cause), shlex.quote(str(url.database))
    if reason.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return UserError(
            Problem(
                f"database {shown(url)} is damaged",
                found=found,
                hint="put a backup in its place; what can be saved of it: "
                f"sqlite3 {file} .recover | sqlite3 {file}.saved",
            )
        )
    closed = reason == "SQLITE_CANTOPEN" and not os.access(Path(str(url.database)).absolute().parent, os.W_OK)
    if closed or reason.startswith("SQLITE_READONLY") or reason in ("25006", "42501"):  # of PostgreSQL
        return UserError(
            Problem(
                f"database {shown(url)} may not be written",
                found=found,
                hint="list, status, why, report, compare and export only read; for the rest make it "
                "writable, or copy the home to where you may write and name it: --home",
            )
        )
    return None


@contextmanager
def _alone(url: URL) -> Iterator[None]:
    """Hold off other processes: Optuna creates its tables without asking whether another is doing so."""
    if url.get_backend_name() == "sqlite":
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


def _checked(url: str, read_only: bool) -> URL:
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):  # the latter of a port that is no number
        parsed = None
    # An @ that belongs to a password ends it early: its rest would be taken for the host, and printed.
    if parsed is None or (not url.startswith("sqlite") and url.count("@") > (parsed.username is not None)):
        raise UserError(
            Problem(
                "the database URL cannot be read",
                allowed="sqlite:////absolute/path.db or postgresql://user:password@host:port/database",
                hint="in a user or password an @ is written %40, and / : ? # % as %2F %3A %3F %23 %25",
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
    file = Path(parsed.database).absolute()
    if read_only and not file.exists():
        raise UserError(Problem(f"there is no database {file}"))
    if not read_only:
        _make_folder(file.parent)
    kind = file_system_of(file.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise UserError(
            Problem(
                f"an SQLite database must not lie on a network file system ({kind})",
                found=str(parsed.database),
                hint="put LOSSWEEP_HOME on a local disk, or give a PostgreSQL URL in LOSSWEEP_DATABASE",
            )
        )
    return parsed


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "choose another: --home or LOSSWEEP_HOME"
        raise UserError(Problem(f"folder {folder} cannot be made: {error.strerror}", hint=hint)) from None


def _engine_options(url: URL, read_only: bool = False) -> dict[str, Any]:
    if url.get_backend_name() != "sqlite":
        return {"connect_args": {"connect_timeout": 10}}  # of closed ones `patient` opens new ones
    if read_only:
        return {"creator": _reader(Path(str(url.database)).absolute())}
    return {"connect_args": {"timeout": BUSY_TIMEOUT_MS / 1000}}


def _reader(file: Path) -> Callable[[], sqlite3.Connection]:
    """Return what opens a SQLite file to look at it."""
    address = f"{file.as_uri()}?mode=ro"
    log = file.with_name(f"{file.name}-wal")

    def connect(immutable: bool = False) -> sqlite3.Connection:
        options = "&immutable=1" * immutable
        connection = sqlite3.connect(
            f"{address}{options}", BUSY_TIMEOUT_MS / 1000, uri=True, check_same_thread=False
        )
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            connection.close()
            # In a folder that may not be written SQLite can't make the index of its write-ahead log. Where
            # the log is empty none is needed, and nobody can write there.
            closed = error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY"))
            if immutable or not closed:
                raise
            if log.exists() and log.stat().st_size:
                hint = "copy the home to where you may write, and name it: --home"
                said = "was not closed by who wrote it last, and lies where it may not be written"
                raise UserError(Problem(f"database {file} {said}", hint=hint)) from None
            return connect(immutable=True)
        return connection

    return connect


def _try_out(connection: Any, read_only: bool) -> None:
    """Let a file that is no database, or may not be written, fail here rather than in the midst of work."""
    connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    connection.rollback()
    if read_only:
        return
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.rollback()
    except exc.OperationalError as error:
        if "locked" not in str(error.orig):  # another writes for long: that passes
            raise


def _configure(engine: Engine, read_only: bool) -> None:
    @event.listens_for(engine, "handle_error")
    def _say(context: ExceptionContext) -> UserError | None:
        return in_words(context.original_exception, engine.url)

    @event.listens_for(engine, "connect")
    def _settle(connection: Any, _record: object) -> None:
        if engine.dialect.name != "sqlite":
            if read_only:
                connection.read_only = True
            return
        cursor = connection.cursor()
        try:
            cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            if not read_only:
                cursor.execute("PRAGMA journal_mode=WAL")
                # A killed process loses nothing; a power cut at most the last evaluations, which checkpoints
                # re-emit.
                cursor.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error as error:
            if (said := in_words(error, engine.url)) is not None:
                raise said from None
            raise
        finally:
            cursor.close()


def _cannot_be_opened(url: URL, error: BaseException) -> UserError:
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    said = without_secrets(_first_line(cause), url.render_as_string(hide_password=False))
    hint = None
    if url.get_backend_name() == "sqlite" and "unable to open" in said:
        hint = "is its folder there, and may you write in it? --home or LOSSWEEP_HOME name another home"
    return UserError(Problem(f"database {shown(url)} cannot be opened: {said}", hint=hint))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
