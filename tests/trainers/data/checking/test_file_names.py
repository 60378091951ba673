"""Names that are hard to print or lie in the wrong place are told on one printable line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data
from lossweep.trainers.data.loading import load_data
from lossweep.trainers.data.spec import FolderSource


def test_a_line_break_in_a_name_breaks_no_line(folder_spec: FolderSource, tmp_path: Path) -> None:
    (Path(folder_spec.root) / "train/images/train0\n.png").write_bytes(b"")
    (problem,) = check_data(folder_spec, tmp_path / "cache").problems
    assert "train0\\n.png: image has no mask" in str(problem)
    assert "\n" not in str(problem)


def test_names_that_no_terminal_takes_are_shown_escaped(folder_spec: FolderSource, tmp_path: Path) -> None:
    root = Path(folder_spec.root)
    try:
        for index, name in enumerate((b"\xe9.png", b"a\n\x1b[31mb.png")):
            for kind in ("images", "masks"):
                (root / f"train/{kind}/train{index}.png").rename(root / f"train/{kind}" / os.fsdecode(name))
        Path(os.fsdecode(bytes(root / "train/images") + b"/\xff.txt")).write_text("x")
    except OSError:
        pytest.skip("this file system wants UTF-8")
    for name in (b"\xe9.png", b"a\n\x1b[31mb.png"):
        image = root / "train/images" / os.fsdecode(name)
        (root / "val/images/val0.png").write_bytes(image.read_bytes())
        lines = check_data(folder_spec, tmp_path / "cache").lines()
        assert all(line.isprintable() for line in lines)
        assert any("the splits leak" in line and repr(image.name)[1:-1] in line for line in lines)
    assert any("\\udcff.txt: left out" in line for line in lines)
    (root / "val/masks/val1.png").rename(root / "val/masks" / os.fsdecode(b"\xe9.png"))
    lines = check_data(folder_spec, tmp_path / "cache").lines()
    assert any("\\udce9.png: mask has no image" in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_other_files_beside_the_images_are_noted(folder_spec: FolderSource, tmp_path: Path) -> None:
    (Path(folder_spec.root) / "train/images/notes.txt").write_text("x")
    (Path(folder_spec.root) / "train/images/.DS_Store").write_text("x")
    report = check_data(folder_spec, tmp_path / "cache")
    assert report.ok
    assert [note for note in report.notes if "notes.txt" in note]
    assert not [note for note in report.notes if "DS_Store" in note]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: root.rename(root.with_name("moved")), "data folder is missing"),
        (lambda root: (root / "val").rename(root / "validation"), "folder is missing"),
        (lambda root: (root / "train/masks").rename(root / "train/labels"), "folder is missing"),
        (
            lambda root: (root / "train").rename(root.with_name("x")) and (root / "images").mkdir(),
            "say how to divide",
        ),
    ],
)
def test_a_wrong_layout_is_explained(
    change: Callable[[Path], object], words: str, folder_spec: FolderSource, tmp_path: Path
) -> None:
    change(Path(folder_spec.root))
    with pytest.raises(UserError, match=words):
        load_data(folder_spec, tmp_path / "cache")
