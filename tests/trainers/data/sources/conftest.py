from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

# Helper modules of these tests lie beside them; pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """One labelled scene in each split."""
    from geodata import LEFT, scene, write_tiff

    root = tmp_path / "geo"
    for index, split in enumerate(("train", "val", "test")):
        mask = np.zeros((1, 90, 120), np.uint8)
        mask[0, 10:30, 40:70] = 1
        write_tiff(root / split / "images/a.tif", scene(seed=index), left=LEFT + index * 10_000)
        write_tiff(root / split / "masks/a.tif", mask, left=LEFT + index * 10_000)
    return root
