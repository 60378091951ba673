"""A key of files' contents: true to the bytes, yet unchanged files are not read again."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lossweep.trainers.data.sources.source import Progress

_RACY_SECONDS = 2.0
"""A file changed this recently may change again without its time stamps showing it (git's "racily clean")."""


def content_key(files: Sequence[Path], root: Path, cache: Path, progress: Progress) -> str:
    """Return a hash of the files' contents and their paths under ``root``.

    Like git, it trusts a file whose path, size, inode and nanosecond time stamps are as they were when its
    contents were last hashed; what it knows lies in ``cache/content``. A copied or touched data set is read
    again but has the same key. A file that can't be read counts by its name; decoding it will say why.
    """
    stats = [_stat(path) for path in files]
    listing = hashlib.blake2b(digest_size=20)
    for path, stat in zip(files, stats, strict=True):
        listing.update(f"{path}\0{stat}\n".encode(errors="surrogatepass"))
    known = cache / "content" / listing.hexdigest()
    try:
        return known.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        pass
    now = time.time()
    key = hashlib.blake2b(digest_size=20)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, (path, digest) in enumerate(zip(files, pool.map(_digest, files), strict=True), start=1):
            key.update(os.fsencode(os.path.relpath(path, root)) + b"\0" + digest)
            progress("read", done, len(files))
    if all(stat is not None and now - stat[2] / 1e9 > _RACY_SECONDS for stat in stats):
        _remember(known, key.hexdigest())
    return key.hexdigest()


def _stat(path: Path) -> tuple[int, int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, max(stat.st_mtime_ns, stat.st_ctime_ns), stat.st_mtime_ns


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).digest()
    except OSError:
        return b"unreadable"


def _remember(known: Path, key: str) -> None:
    beside = known.with_name(f"{known.name}.{os.getpid()}")
    try:
        known.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(key, encoding="ascii")
        beside.replace(known)
    except OSError:
        beside.unlink(missing_ok=True)  # not remembering only costs time
