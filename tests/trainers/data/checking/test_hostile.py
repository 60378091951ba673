"""Damaged and misleading files: one clear line that names each, no traceback, none silently dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile_files import (
    HALF,
    HOSTILE,
    dangling_link,
    decompression_bomb,
    empty_mask_file,
    index_seven,
    missing_mask,
    rgb_mask,
    size_mismatch,
    symlink_loop,
    text_for_an_image,
    tiff_bomb,
    truncated_png,
    two_pages,
)
from PIL import Image

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data, check_quick
from lossweep.trainers.data.loading import MOST_SHOWN, load_data
from lossweep.trainers.data.spec import FolderSource, Fractions


@pytest.mark.parametrize("spoil", HOSTILE, ids=lambda spoil: spoil.__name__)
def test_each_gets_one_line_that_names_the_file(
    spoil: Callable[[Path], Path], folder_spec: FolderSource, tmp_path: Path
) -> None:
    path = spoil(Path(folder_spec.root))
    with pytest.raises(UserError) as caught:
        load_data(folder_spec, tmp_path / "cache")
    about = [str(problem) for problem in caught.value.problems if path.stem in str(problem)]
    assert len(about) == 1
    assert HOSTILE[spoil] in about[0]
    assert "\n" not in about[0]
    report = check_data(folder_spec, tmp_path / "cache")
    assert [str(problem) for problem in report.problems] == [
        str(problem) for problem in caught.value.problems
    ]
    assert any(HOSTILE[spoil] in line for line in report.lines())


@pytest.mark.parametrize(
    "spoil",
    [
        empty_mask_file,
        text_for_an_image,
        decompression_bomb,
        tiff_bomb,
        symlink_loop,
        dangling_link,
        missing_mask,
        size_mismatch,
        two_pages,
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_headers_and_names_tell_before_a_sweep_starts(
    spoil: Callable[[Path], Path], folder_spec: FolderSource
) -> None:
    path = spoil(Path(folder_spec.root))
    with pytest.raises(UserError, match=path.stem):
        check_quick(folder_spec)


def test_all_are_told_at_once_and_nothing_is_kept(folder_spec: FolderSource, tmp_path: Path) -> None:
    root = Path(folder_spec.root)
    paths = [spoil(root) for spoil in (truncated_png, index_seven, size_mismatch, rgb_mask)]
    with pytest.raises(UserError) as caught:
        load_data(folder_spec, tmp_path / "cache")
    assert len(caught.value.problems) == 4
    assert all(any(str(path) in str(problem) for problem in caught.value.problems) for path in paths)
    assert not [path for path in (tmp_path / "cache/data").iterdir() if path.is_dir()]


def test_one_folder_with_a_split_names_each_as_well(folder_spec: FolderSource, tmp_path: Path) -> None:
    """Whatever split a file falls into, and before files are divided."""
    root = Path(folder_spec.root)
    for kind in ("images", "masks"):
        (root / kind).mkdir()
        for split in ("train", "val", "test"):
            for path in (root / split / kind).iterdir():
                path.rename(root / kind / path.name)
    spoilt = [root / "images/train1.png", root / "masks/val0.png", root / "masks/train0.png"]
    spoilt[0].write_bytes(spoilt[0].read_bytes()[:200])
    spoilt[1].write_bytes(b"")
    Image.fromarray(HALF.astype(np.uint16) * 700).save(spoilt[2])
    (root / "masks/test0.png").unlink()
    spec = folder_spec.model_copy(update={"split": Fractions(train=0.6, val=0.2, test=0.2)})
    problems = [str(problem) for problem in check_data(spec, tmp_path / "cache").problems]
    words = ("damaged", "empty (0 bytes)", "700 in 960 pixels")
    for path, said in zip(spoilt, words, strict=True):
        assert [said in problem for problem in problems if str(path) in problem] == [True]
    assert any("test0.png: image has no mask" in problem for problem in problems)
    assert len(problems) == 4


def test_a_long_list_is_cut_and_says_so(folder_spec: FolderSource, tmp_path: Path) -> None:
    masks = Path(folder_spec.root) / "train/masks"
    for index in range(30):
        Image.fromarray(HALF).save(masks / f"lonely{index}.png")
    with pytest.raises(UserError, match="and 10 more problems") as caught:
        load_data(folder_spec, tmp_path / "cache")
    assert len(caught.value.problems) == MOST_SHOWN + 1
    assert len(check_data(folder_spec, tmp_path / "cache").problems) == 30
