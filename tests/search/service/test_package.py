"""What is shipped of a folder: as git would have it, equal for equal files, and not too much."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from lossweep.search.service import package
from lossweep.search.service.package import package_of, shipped_files
from lossweep.spaces.files.errors import UserError


def write(root: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def names(root: Path) -> list[str]:
    return [name for name, _ in shipped_files(root)]


def test_ignore_files_are_heeded_in_every_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b.tif", "big/c.py", "sub/d.py", "sub/e.tif", "sub/deep/f.py", "sub/keep.tif")
    write(tmp_path, ".git/x", "__pycache__/a.pyc", ".env", "runs/lossweep.db", "sub/runs/g.py")
    (tmp_path / ".gitignore").write_text("*.tif\n/big/\n")
    (tmp_path / "sub" / ".lossweepignore").write_text("!keep.tif\ndeep/\n")
    assert names(tmp_path) == [
        ".gitignore",
        "a.py",
        "sub/.lossweepignore",
        "sub/d.py",
        "sub/keep.tif",
        "sub/runs/g.py",
    ]


def test_what_is_never_shipped_may_be_taken_back(tmp_path: Path) -> None:
    write(tmp_path, ".env", ".lossweepignore", text="!.env")
    assert names(tmp_path) == [".env", ".lossweepignore"]


def test_equal_files_make_equal_packages(tmp_path: Path) -> None:
    """So that the cluster is sent a package once."""
    for root, moment in ((tmp_path / "a", 1e9), (tmp_path / "b", 1.5e9)):
        write(root, "x.py", "y/z.py")
        (root / "x.py").chmod(0o755)
        for path in root.rglob("*"):
            os.utime(path, (moment, moment))
    first, second = package_of(tmp_path / "a"), package_of(tmp_path / "b")
    assert first.content == second.content
    assert str(first) == "2 files, 0.0 MiB"
    with zipfile.ZipFile(io.BytesIO(first.content)) as archive:
        assert archive.namelist() == ["x.py", "y/z.py"]
        assert archive.getinfo("x.py").external_attr >> 16 & 0o111
    (tmp_path / "b" / "x.py").write_text("changed")
    assert package_of(tmp_path / "b").content != first.content


def test_too_much_is_refused_with_the_largest_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "LIMIT_BYTES", 3 * 2**20)
    write(tmp_path, "tiles/a.tif", text="x" * 2**22)
    write(tmp_path, "code.py")
    with pytest.raises(
        UserError, match=r"too much to ship.*found 4 MiB, of these tiles/ 4 MiB.*\.lossweepignore"
    ):
        package_of(tmp_path)


def test_links_to_folders_are_not_followed_and_to_files_are(tmp_path: Path) -> None:
    write(tmp_path, "outside/a.py", "code/b.py")
    (tmp_path / "code" / "all").symlink_to(tmp_path)
    (tmp_path / "code" / "a.py").symlink_to(tmp_path / "outside" / "a.py")
    (tmp_path / "code" / "gone.py").symlink_to(tmp_path / "nothing")
    assert names(tmp_path / "code") == ["a.py", "b.py"]
