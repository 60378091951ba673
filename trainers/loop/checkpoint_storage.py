"""Where checkpoints lie: in a folder, or in an object store by URL."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from lossweep.trainers.loop.object_path import ObjectPath

Place = Path | ObjectPath
"""Where something is kept: both have what `trainers.loop.checkpoints` uses of paths."""


def located(where: Place | str) -> Place:
    """Return the place that a folder's name or a URL names.

    Raises:
        UserError: the URL cannot be one of an object store.
    """
    if isinstance(where, ObjectPath):
        return where
    text = str(where)
    if isinstance(where, str) and "://" in text:
        return Path(text.removeprefix("file://")) if text.startswith("file:///") else ObjectPath.parse(text)
    return Path(where)


def check_reachable(place: Place, wait_s: float = 10.0) -> None:
    """Look into an object store, before anything relies on it; folders are made when they are needed.

    Raises:
        CheckpointStorageAway: in plain words, when it refuses or does not answer.
    """
    if isinstance(place, ObjectPath):
        place.check(wait_s)


def write_whole(place: Place, *parts: bytes | memoryview) -> None:
    """Write a file or an object so that there is never half of one; a file is synced to the disk."""
    if isinstance(place, ObjectPath):
        place.write(b"".join(parts))
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".writing", dir=place.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    # Not every file system can sync a folder; the rename itself is atomic all the same.
    with suppress(OSError):
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
