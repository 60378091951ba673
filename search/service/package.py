"""The user's own code as it is shipped: the files of a folder, less those that ignore files name."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pathspec import GitIgnoreSpec

from lossweep.spaces.files.errors import Problem, UserError

LIMIT_BYTES: Final = 100 * 2**20
"""The most that is shipped, before compression. Code is small; data belong on the cluster."""

IGNORE_FILES: Final = (".gitignore", ".lossweepignore")
"""Heeded in every folder, in git's own syntax; the second one may take back what the first ignores."""

NEVER: Final = (
    ".git/",
    ".hg/",
    ".env",
    ".venv/",
    "venv/",
    "__pycache__/",
    "*.pyc",
    "/runs/",
    "node_modules/",
)
"""Not code, or not for others; ``.lossweepignore`` may take these back, too: ``!.env``."""

_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Package:
    """Files as one archive, equal for equal files.

    Attributes:
        content: the archive, a zip.
        files: how many files it holds.
        size: bytes of these.
    """

    content: bytes = field(repr=False)
    files: int
    size: int

    def __str__(self) -> str:
        return f"{self.files} file{'s' * (self.files != 1)}, {self.size / 2**20:.1f} MiB"


def package_of(folder: Path) -> Package:
    """Return the files of a folder that are shipped.

    Raises:
        UserError: when they are too many bytes, naming the largest, or one cannot be read.
    """
    sizes: dict[str, int] = {}
    paths: dict[str, Path] = {}
    try:
        for name, path in sorted(shipped_files(folder)):
            sizes[name], paths[name] = path.stat().st_size, path
        if sum(sizes.values()) > LIMIT_BYTES:
            raise _too_large(folder, sizes)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, path in paths.items():
                entry = zipfile.ZipInfo(name, _LONG_AGO)
                entry.external_attr = (0o755 if os.access(path, os.X_OK) else 0o644) << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise UserError(
            Problem(f"cannot be shipped: {error.strerror}", key="--code", found=str(error.filename))
        ) from None
    return Package(buffer.getvalue(), len(sizes), sum(sizes.values()))


def shipped_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a folder that are shipped, each with its name below the folder."""
    yield from _below(folder, "", ((folder, GitIgnoreSpec.from_lines(NEVER)),))


def _below(
    folder: Path, prefix: str, rules: tuple[tuple[Path, GitIgnoreSpec], ...]
) -> Iterator[tuple[str, Path]]:
    for name in IGNORE_FILES:
        file = folder / name
        if file.is_file():
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            rules = (*rules, (folder, GitIgnoreSpec.from_lines(lines)))
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = folder / entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if _ignored(path, is_folder, rules):
                continue
            if is_folder:
                yield from _below(path, f"{prefix}{entry.name}/", rules)
            elif entry.is_file():
                yield f"{prefix}{entry.name}", path


def _ignored(path: Path, is_folder: bool, rules: tuple[tuple[Path, GitIgnoreSpec], ...]) -> bool:
    """Whether the last pattern that speaks of a path ignores it, as git has it."""
    for base, spec in reversed(rules):
        said = spec.check_file(f"{path.relative_to(base).as_posix()}{'/' * is_folder}").include
        if said is not None:
            return said
    return False


def _too_large(folder: Path, sizes: dict[str, int]) -> UserError:
    parts: dict[str, int] = {}
    for name, size in sizes.items():
        head, slash, _ = name.partition("/")
        parts[head + slash] = parts.get(head + slash, 0) + size
    largest = sorted(parts, key=lambda part: parts[part], reverse=True)[:3]
    return UserError(
        Problem(
            "too much to ship with a sweep",
            str(folder),
            key="--code",
            found=f"{sum(sizes.values()) / 2**20:.0f} MiB, of these "
            + ", ".join(f"{part} {parts[part] / 2**20:.0f} MiB" for part in largest),
            allowed=f"{LIMIT_BYTES // 2**20} MiB",
            hint="name what is not code in .lossweepignore, or ship another folder: --code DIR",
        )
    )
