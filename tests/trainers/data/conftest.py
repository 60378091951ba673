from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lossweep.trainers.data.spec import FolderSource

# Helper modules of these tests lie beside them; pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

WritePair = Callable[[Path, str, np.ndarray, np.ndarray], None]


def _write_pair(folder: Path, stem: str, image: np.ndarray, mask: np.ndarray) -> None:
    for kind, pixels in (("images", image), ("masks", mask)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / kind / f"{stem}.png")


@pytest.fixture
def write_pair() -> WritePair:
    """Writes an image and its mask as PNG under a split's folder."""
    return _write_pair


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """Six RGB images of 40 x 48 with a square of foreground each, in train, val and test."""
    generator = np.random.default_rng(0)
    root = tmp_path / "set"
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for index in range(count):
            mask = np.zeros((40, 48), np.uint8)
            mask[5 + index : 15 + index, 8:18] = 1
            _write_pair(
                root / split, f"{split}{index}", generator.integers(0, 256, (40, 48, 3), np.uint8), mask
            )
    return root


@pytest.fixture
def folder_spec(data_folder: Path) -> FolderSource:
    return FolderSource(source="folder", root=str(data_folder), tile=32)
