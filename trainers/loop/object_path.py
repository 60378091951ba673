"""Objects in a store that speaks S3, or in Google's, used as paths are.

They are reached through pyarrow's file systems: compiled, without an event loop, and there already, as MLflow
and Ray Tune need pyarrow. An object is written by one upload, which is seen whole or not at all.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import IO, Any, Final, ParamSpec, TypeVar
from urllib.parse import parse_qsl, urlsplit

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.patience import waited_for

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

WAIT_AT_MOST_S = 900.0
"""How long a trial waits for an object store that is away."""

SCHEMES: Final = ("s3", "gs")
_OPTIONS: Final = ("endpoint_override", "scheme", "region")
"""What may stand behind the ``?`` of an S3 URL: as pyarrow names it, and nothing secret."""

_REFUSED: Final = re.compile(
    r"ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY_ID|SIGNATURE|EXPIRED_TOKEN|TOKEN_REFRESH|UNRECOGNIZED_CLIENT"
    r"|INVALID_CLIENT_TOKEN|MISSING_AUTHENTICATION|PERMISSION_DENIED|UNAUTHENTICATED|bucket does not exist"
)
_ANSWER: Final = re.compile(r"AWS Error (\w+)")


class CheckpointStorageAway(UserError):
    """The object store of the checkpoints refuses, or has been away for longer than anyone waits."""


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """Of an object what `os.stat` tells of a file."""

    st_size: int
    st_mtime_ns: int


@dataclass(frozen=True, order=True, slots=True)
class ObjectPath:
    """An object in a store, or a prefix of some, with what checkpoints need of `pathlib.Path`; picklable.

    Every call waits, with growing pauses, for a store that is away for a moment.

    Attributes:
        scheme: ``s3`` or ``gs``.
        key: bucket and name, as in ``bucket/sweep/context/000003.checkpoint``.
        options: how the store is reached.
        listed: as it stood when it was listed.
    """

    scheme: str
    key: str
    options: tuple[tuple[str, str], ...] = ()
    listed: ObjectStat | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, url: str) -> ObjectPath:
        """Read ``s3://bucket/prefix?endpoint_override=host:port&scheme=http&region=r`` or ``gs://bucket/prefix``.

        Raises:
            UserError: for another scheme or option, no bucket, or a key or password in the URL.
        """
        try:
            parts = urlsplit(url)
            options = tuple(sorted(parse_qsl(parts.query, keep_blank_values=True)))
        except ValueError:
            parts, options = urlsplit(""), ()
        if "@" in parts.netloc:
            hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, use a profile or the node's own role"
            raise UserError(Problem("the address of the checkpoints must not hold a key", hint=hint))
        if parts.scheme not in SCHEMES:
            allowed = ", ".join((*(f"{scheme}://bucket/prefix" for scheme in SCHEMES), "a folder"))
            raise UserError(
                Problem("checkpoints cannot be kept there", found=f"{parts.scheme}://", allowed=allowed)
            )
        if unknown := [name for name, _ in options if parts.scheme != "s3" or name not in _OPTIONS]:
            allowed = ", ".join(_OPTIONS) if parts.scheme == "s3" else "none"
            raise UserError(
                Problem(
                    "unknown options of the checkpoints' address", found=", ".join(unknown), allowed=allowed
                )
            )
        if not parts.netloc:
            raise UserError(Problem("the checkpoints' address names no bucket", allowed="s3://bucket/prefix"))
        return cls(parts.scheme, f"{parts.netloc}{parts.path}".rstrip("/"), options)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.key}"

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(self.scheme, f"{self.key}/{name}", self.options)

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> ObjectPath:
        """All but the last part."""
        return ObjectPath(self.scheme, self.key.rpartition("/")[0], self.options)

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open to read; small reads after one another are one request.

        Raises:
            FileNotFoundError: there is no such object.
        """
        assert mode == "rb"
        file = _patient(self, lambda files: files.open_input_file(self.key))
        raw: Any = _Reader(self, file)
        return io.BufferedReader(raw, 256 * 1024)

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """The objects below whose names match, such as ``*/*.checkpoint``; none when there is nothing."""
        from pyarrow import fs

        selector = fs.FileSelector(self.key, allow_not_found=True, recursive=True)
        depth = pattern.count("/")
        for info in _patient(self, lambda files: files.get_file_info(selector)):
            name = info.path.removeprefix(f"{self.key}/")
            if info.type is fs.FileType.File and name.count("/") == depth and fnmatchcase(name, pattern):
                yield ObjectPath(
                    self.scheme, info.path, self.options, ObjectStat(info.size, info.mtime_ns or 0)
                )

    def stat(self) -> ObjectStat:
        """Size and time of writing.

        Raises:
            FileNotFoundError: there is no such object.
        """
        if self.listed is not None:
            return self.listed
        [info] = _patient(self, lambda files: files.get_file_info([self.key]))
        if not info.is_file:
            raise FileNotFoundError(str(self))
        return ObjectStat(info.size, info.mtime_ns or 0)

    def exists(self) -> bool:
        """Whether there is such an object."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_file(self) -> bool:
        """Whether there is such an object."""
        return self.exists()

    def is_dir(self) -> bool:
        """Whether there are objects below."""
        return next(self.glob("*/*"), None) is not None

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete it."""
        with suppress(*[FileNotFoundError] * missing_ok):
            _patient(self, lambda files: files.delete_file(self.key))

    def check(self, wait_s: float) -> None:
        """Look into the store.

        Raises:
            CheckpointStorageAway: it refuses, has no such bucket, or is away for longer than ``wait_s``.
        """
        from pyarrow import fs

        with suppress(FileNotFoundError):  # nothing was written yet; a missing bucket is another error
            _patient(self, lambda files: files.get_file_info(fs.FileSelector(self.key)), wait_s)

    def write(self, content: bytes) -> None:
        """Write it by one upload; one that breaks off leaves what was there before."""

        def upload(files: Any) -> None:
            with files.open_output_stream(self.key) as stream:
                stream.write(content)

        _patient(self, upload)


class _Reader(io.RawIOBase):
    """A file of pyarrow's, each of whose reads waits for its store."""

    def __init__(self, place: ObjectPath, file: Any) -> None:
        self._place, self._file, self._at = place, file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size()}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        read = self._some(len(buffer))
        buffer[: len(read)] = read
        return len(read)

    def readall(self) -> bytes:
        return self._some(self._file.size())

    def _some(self, most: int) -> bytes:
        wanted = min(most, max(0, self._file.size() - self._at))
        read: bytes = _patient(self._place, lambda _: self._file.read_at(wanted, self._at)) if wanted else b""
        self._at += len(read)
        return read

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


@functools.cache
def opened(scheme: str, options: tuple[tuple[str, str], ...]) -> Any:
    """The file system, once a process. Keys come from where the store's own tools take them."""
    from pyarrow import fs

    if scheme == "gs":
        return fs.GcsFileSystem()
    given: dict[str, Any] = dict(options)
    return fs.S3FileSystem(connect_timeout=5, request_timeout=60, allow_delayed_open=True, **given)


def _patient(place: ObjectPath, call: Callable[[Any], R], wait_s: float | None = None) -> R:
    """Do a call that may be repeated, again and again while the store is away."""
    try:
        return waited_for(
            lambda: call(opened(place.scheme, place.options)),
            _is_passing,
            _said,
            what="The store of the checkpoints",
            back="answers",
            longest=WAIT_AT_MOST_S if wait_s is None else wait_s,
            log=log,
        )
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _away(place, error) from error


def _is_passing(error: Exception) -> bool:
    if isinstance(error, FileNotFoundError) or not isinstance(error, OSError):
        return False
    return _REFUSED.search(str(error)) is None


def _away(place: ObjectPath, error: OSError) -> CheckpointStorageAway:
    bucket, said = place.key.partition("/")[0], _said(error)
    store = f"the object store of the checkpoints ({place.scheme}://{bucket})"
    if "BUCKET" in said or "bucket does not exist" in str(error):
        return CheckpointStorageAway(
            Problem(f"there is no bucket {bucket} for the checkpoints", hint="make it, or name another")
        )
    if _REFUSED.search(str(error)):
        hint = "keys are read where workers run: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, a profile, a role"
        return CheckpointStorageAway(Problem(f"{store} refuses", found=said, hint=hint))
    return CheckpointStorageAway(
        Problem(f"{store} does not answer", found=said, hint="is its address right, and does it run?")
    )


def _said(error: Exception) -> str:
    """The store's own word for it, in one line."""
    found = _ANSWER.search(str(error))
    return found[1] if found else str(error).strip().partition("\n")[0][:200]
