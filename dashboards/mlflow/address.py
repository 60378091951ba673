"""Says before anything starts when MLflow can never record at an address, and what to write instead.

A server that can't be reached is no mistake: it may come back, and a sweep goes on without it.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from lossweep.dashboards.mlflow.internals.names import (
    ALLOW_FOLDERS,
    DATABASES,
    ELSEWHERE,
    MODELS_ONLY,
    PLUGINS,
    SERVERS,
    folders_allowed,
)
from lossweep.dashboards.mlflow.internals.tables import Tables, schema_wanted
from lossweep.search.addresses import shown
from lossweep.search.workspace import TRACKING_VARIABLE
from lossweep.spaces.files.errors import Problem, UserError, nearest

_HEADER: Final = b"SQLite format 3\0"
ALLOWED: Final = "sqlite:///FILE, postgresql://..., mysql://..., http://SERVER:PORT"

_SERVER: Final = re.compile(r"[\w.\-]+:\d+(/.*)?")
_FILE: Final = re.compile(r"(?:sqlite:/{0,2}|file:(?://)?)?(/?[^/].*\.(?:db|sqlite3?))")


def check_store(uri: str) -> None:
    """Refuse an MLflow store that can never work.

    Args:
        uri: where MLflow is to record.

    Raises:
        UserError: when waiting or trying again can't help: MLflow has no store of that kind, the address
            names no host or no file, its driver isn't installed, or the SQLite file there is no store of this
            MLflow.
    """
    problem = store_problem(uri)
    if problem is not None:
        raise UserError(problem)


def store_problem(uri: str) -> Problem | None:
    """Return what makes a store unusable for ever, or None."""
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        return _problem(uri, f"no address of a store: {error}")
    kind = scheme.partition("+")[0]
    if uri in ELSEWHERE or scheme in ELSEWHERE or scheme in _plugins():
        return None
    if uri in MODELS_ONLY:
        return _problem(uri, "MLflow keeps models there, and no runs", allowed=ALLOWED)
    if scheme in ("", "file") or len(scheme) == 1:  # a letter is a drive of Windows
        return _folder(uri)
    look: Mapping[str, Callable[[str], Problem | None]] = {
        **dict.fromkeys(SERVERS, _server),
        **dict.fromkeys(DATABASES, _database),
    }
    if kind in look and (kind == scheme or kind in DATABASES):
        return look[kind](uri)
    hint = _meant(uri) or nearest(kind, tuple(look))
    return _problem(uri, "MLflow knows no such kind of store", allowed=ALLOWED, hint=hint)


def _folder(uri: str) -> Problem | None:
    if folders_allowed():
        return None
    leave = (
        f"leave ${TRACKING_VARIABLE} out for a store in the sweeps' home "
        f"(MLflow takes folders only with {ALLOW_FOLDERS}=true)"
    )
    return _problem(uri, "MLflow no longer records into folders", allowed=ALLOWED, hint=_meant(uri) or leave)


def _meant(uri: str) -> str | None:
    """The address that was probably meant by one without its kind, or with a slash too few."""
    if broken := re.fullmatch(r"(https?):?/+(.+)", uri):
        return f"did you mean {broken[1]}://{broken[2]}?"
    if _SERVER.fullmatch(uri):
        return f"did you mean http://{uri}?"
    if found := _FILE.fullmatch(uri):
        return f"did you mean sqlite:///{found[1]}?"
    return None


def _server(uri: str) -> Problem | None:
    parts = urlsplit(uri)
    try:
        if parts.hostname and (parts.port is None or parts.port > 0):
            return None
    except ValueError:
        pass
    return _problem(uri, "the address of a server needs a host, and its port a number below 65536")


def _database(uri: str) -> Problem | None:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        url = make_url(uri)
        dialect = url.get_dialect()
        dialect.import_dbapi()
    except ImportError as error:
        hint = "install it, or name another: postgresql+psycopg://..., mysql+pymysql://..."
        return _problem(uri, f"this database's driver {error.name} is not installed", hint=hint)
    except (ArgumentError, NoSuchModuleError, ValueError):
        return _problem(uri, "no address of a database", hint=_meant(uri))
    if url.get_backend_name() != "sqlite":
        return None
    if url.host:
        return _problem(uri, "no address of a SQLite file", hint=_meant(uri))
    if url.database in (None, "", ":memory:"):
        return _problem(uri, "a store in memory is gone with this process", allowed="sqlite:///FILE")
    # What SQLite itself is to read as an address is its own affair.
    return None if str(url.database).startswith("file:") else _file(uri, Path(str(url.database)))


def _file(uri: str, path: Path) -> Problem | None:
    if path.is_dir():
        return _problem(uri, "a folder stands where the SQLite file should be", hint="name a file in it")
    if not path.exists():
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if folder.is_dir() and os.access(folder, os.W_OK):
            return None
        return _problem(uri, f"the SQLite file can't be made: {folder} may not be written")
    if not os.access(path, os.W_OK):
        return _problem(uri, "the SQLite file may not be written")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as opened:
            tables = Tables.of(opened)
    except sqlite3.OperationalError:
        return None  # locked by another process: to be waited for
    except sqlite3.DatabaseError:
        damaged = path.read_bytes()[: len(_HEADER)] == _HEADER
        hint = _anew(path) if damaged else "name another file"
        return _problem(uri, "the SQLite file is damaged" if damaged else "no SQLite database", hint=hint)
    if not tables.names:  # MLflow makes its own
        return None
    if not tables.mlflows:
        hint = "name another file: MLflow would mix its tables with them"
        return _problem(uri, "the database holds others' tables, and none of MLflow's", hint=hint)
    if tables.version == schema_wanted():
        return None
    return _problem(
        uri,
        "another version of MLflow made this store, or a process half made it that was killed",
        told=f"tables of version {tables.version} where this MLflow has {schema_wanted()}",
        hint=f"{_anew(path)}; if others record there, too: mlflow db upgrade {shown(uri)}",
    )


def _anew(path: Path) -> str:
    remedy = f"delete {path} or move it away, and `lossweep sync NAME` writes a sweep anew"
    return f"it is a view of the study: {remedy}"


def _plugins() -> frozenset[str]:
    return frozenset(entry.name for entry in entry_points(group=PLUGINS))


def _problem(
    uri: str, message: str, *, told: str = "", allowed: str | None = None, hint: str | None = None
) -> Problem:
    given = os.environ.get(TRACKING_VARIABLE) == uri
    found = f"{shown(uri)} ({told})" if told else shown(uri)
    key = TRACKING_VARIABLE if given else "MLflow's store"
    return Problem(message, key=key, found=found, allowed=allowed, hint=hint)
