"""What the user may not read is named, and not called missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data
from lossweep.trainers.data.loading import load_data
from lossweep.trainers.data.spec import FolderSource


def test_unreadable_files_are_named(
    folder_spec: FolderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions don't bind root, whom tests may run as: let opening fail as it would for others."""
    path = Path(folder_spec.root) / "train/masks/train0.png"
    path.chmod(0)
    if os.access(path, os.R_OK):
        opened = Path.open

        def refuse(self: Path, *args: object, **kwargs: object) -> object:
            if self == path:
                raise PermissionError(13, "Permission denied", str(self))
            return opened(self, *args, **kwargs)  # type: ignore[call-overload]  # handed on as it came

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match=f"{path}: file can't be read: permission denied"):
        load_data(folder_spec, tmp_path / "cache")


@pytest.mark.parametrize(
    ("closed", "refused", "lines"),
    [
        ("", "", 3),  # a root that may not be searched: its three splits
        ("val", "val", 2),
        ("train/images", "train/images", 3),  # listed but not searched: each of its files
    ],
)
def test_a_folder_closed_to_the_user_is_named_not_called_missing(
    closed: str,
    refused: str,
    lines: int,
    folder_spec: FolderSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As above: permissions don't bind root, so what the system calls would answer is put in their place."""
    folder = Path(folder_spec.root) / closed

    def refusing(real: Callable[..., object]) -> Callable[..., object]:
        def call(self: Path, *args: object, **kwargs: object) -> object:
            if self != folder and self.is_relative_to(folder):
                raise PermissionError(13, "Permission denied", str(self))
            return real(self, *args, **kwargs)

        return call

    for name in ("stat", "lstat", "open"):
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))
    problems = check_data(folder_spec, tmp_path / "cache").problems
    assert len(problems) == lines
    for problem in problems:
        assert str(Path(folder_spec.root) / refused) in str(problem)
        assert "can't be read: permission denied" in str(problem)


def test_a_folder_that_cannot_be_listed_is_one_problem(
    folder_spec: FolderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks, scandir = Path(folder_spec.root) / "train/masks", os.scandir

    def refuse(path: Path) -> object:
        if path == masks:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("lossweep.trainers.data.sources.pairs.os.scandir", refuse)
    (problem,) = check_data(folder_spec, tmp_path / "cache").problems
    assert str(problem) == f"{masks}: folder can't be read: permission denied"
