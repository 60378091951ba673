"""What the picture of fifty pixels in docs/losses.md shows, by the definitions."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from scipy import ndimage

from tests import documented
from tests.documented import DOCS


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return documented.script("fifty_pixels")


def test_the_scene_is_what_its_title_says(script: ModuleType) -> None:
    large, small = script.scene()
    assert (large.sum(), small.sum()) == (50, 50)
    counts = [ndimage.label(mask, np.ones((3, 3)))[1] for mask in (large, small, large | small)]
    assert counts == [1, 50, 51]


def test_only_per_object_losses_tell_the_mistakes_apart(script: ModuleType) -> None:
    found = script.costs()
    for name in ("cross_entropy", "jaccard"):
        of_large, of_small = found[name]
        assert of_large == pytest.approx(of_small, rel=1e-5)
    # In cells and nearly without smoothing, each object missed costs 1, and each found what its cell's sure
    # background adds to the union.
    of_large, of_small = found["per_object(jaccard(smooth=0.01))"]
    assert of_large == pytest.approx(50 / 51, abs=0.02)
    assert 1 / 51 < of_small < 0.1
    assert all(pair[0] > pair[1] for name, pair in found.items() if name.startswith("per_object"))


def test_the_page_gives_these_figures(script: ModuleType) -> None:
    assert script.OUT.exists()
    page = (DOCS / "losses.md").read_text(encoding="utf-8")
    assert f"({script.OUT.name})" in page
    for name, (first, second) in script.costs().items():
        assert f"| `{name}` | {first:.3f} | {second:.3f} |" in page
