"""Addresses of databases and servers: made from parts, and shown without what may be secret in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, unquote_plus

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

HIDDEN: Final = "***"

_PLAIN: Final = re.compile(
    r"(?P<scheme>[a-zA-Z][\w+.-]*)://(?P<user>[^@/?#]*@)?"
    r"(?P<host>(?:[\w.-]*|\[[\da-fA-F:.]+\])(?::\d+)?)"
    r"(?P<path>/[^@?#]*)?(?P<more>[?#][^@]*)?"
)
"""An address that can be read in one way only: not one whose password holds an ``@`` or ``/`` unencoded."""

_IN_TEXT: Final = re.compile(r"[a-zA-Z][\w+.-]*://[^\s'\"<>]*[@?][^\s'\"<>]*")


def sqlite_url(file: Path) -> str:
    """Return the address of a SQLite file, whatever its path holds: ``?``, ``#``, ``%``, spaces."""
    url = URL.create("sqlite", database=str(file))
    if url.render_as_string() != f"sqlite:///{file}":
        # MLflow takes what follows ``sqlite:///`` for the path as it stands, and would make that folder.
        url = url.set(drivername="sqlite+pysqlite")
    return url.render_as_string()


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite address, or None of any other."""
    if not re.match(r"sqlite(\+\w+)?:///", url):
        return None
    try:
        database = make_url(url).database
    except (ArgumentError, ValueError):
        return None
    return Path(database) if database and database != ":memory:" else None


def shown(url: str | URL) -> str:
    """Return an address as it may be printed, logged and tracked.

    Left are the kind, the host, the name of a database and the path of a file. User, password, options and
    the path on a web server are hidden, and all but the kind of an address that could be read in two ways.
    """
    text = url.render_as_string(hide_password=False) if isinstance(url, URL) else url
    if (file := sqlite_file(text)) is not None:
        return f"sqlite:///{file}"
    if "://" not in text:
        return HIDDEN if re.search(r"[@?]", text) else text
    plain = _PLAIN.fullmatch(text)
    if plain is None:
        return f"{text.partition('://')[0]}://{HIDDEN}"
    path, more = plain["path"] or "", plain["more"] or ""
    if path.startswith("/") and path != "/" and (is_web(text) or not re.fullmatch(r"/[\w.-]*", path)):
        path = f"/{HIDDEN}"
    user = f"{HIDDEN}@" if plain["user"] else ""
    return f"{plain['scheme']}://{user}{plain['host']}{path}{more[:1]}{HIDDEN if more else ''}"


def without_user(url: str) -> str:
    """Return the address of a web server as the beginning of a link: with its path, without a password."""
    plain = _PLAIN.fullmatch(url)
    return f"{plain['scheme']}://{plain['host']}{plain['path'] or ''}" if plain is not None else shown(url)


def is_web(url: str) -> bool:
    """Whether an address is a web server's."""
    return url.lower().startswith(("http://", "https://"))


def without_secrets(text: str, *urls: str) -> str:
    """Return a text, such as an error's of a library, without what may be secret in addresses.

    Args:
        text: what would be printed.
        urls: addresses of which the text may quote parts.
    """
    for url in urls:
        text = text.replace(url, shown(url))
    text = _IN_TEXT.sub(lambda found: shown(found[0]), text)
    for secret in sorted({secret for url in urls for secret in _secrets(url)}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets(url: str) -> Iterator[str]:
    """Yield the parts of an address that must not be quoted, encoded and not."""
    if sqlite_file(url) is not None:
        return
    head, _, tail = url.partition("://")[2].rpartition("@")
    path, _, options = tail.partition("?")
    user, _, password = head.partition(":")
    # A web server may take a token for a user; a database's user is a name, and may be any word.
    parts = [
        password or (user if is_web(url) else ""),
        *(option.partition("=")[2] for option in options.split("&")),
    ]
    if is_web(url):
        parts.append(path.partition("/")[2].strip("/"))
    yield from (each for part in parts for each in (part, unquote(part), unquote_plus(part)) if each)
