"""Blended tiles are the whole image's prediction, wherever one begins, in the memory of a row of tiles."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossweep.trainers.data.crops.whole_images import STRIDE
from lossweep.trainers.inference.blending import Band, bands
from lossweep.trainers.inference.pictures import Shown
from lossweep.trainers.inference.segmenter import Segmenter
from lossweep.trainers.inference.tiling import Axis, Tiling
from lossweep.trainers.loop.passes import PassSize
from lossweep.trainers.plan import ModelSpec
from tests.trainers.inference.images import smooth
from tests.trainers.inference.models import NEAR, TINY, untrained


class InMemory:
    """An image, and how much of it was read at once."""

    def __init__(self, image: np.ndarray, valid: np.ndarray | None = None) -> None:
        self.image, self.valid = image, valid
        self.shape = (image.shape[0], image.shape[1])
        self.most = self.windows = 0

    def read(self, row: int, column: int, height: int, width: int) -> Shown:
        self.windows += 1
        self.most = max(self.most, height * width)
        assert 0 <= row < row + height <= self.shape[0]
        assert 0 <= column < column + width <= self.shape[1]
        part = np.s_[row : row + height, column : column + width]
        return Shown(self.image[part], None if self.valid is None else self.valid[part])


def joined(found: list[Band]) -> tuple[np.ndarray, np.ndarray]:
    shares = [band.probabilities for band in found if band.probabilities is not None]
    return np.concatenate([band.mask for band in found]), np.concatenate(shares, axis=1)


def predicted(segmenter: Segmenter, scene: InMemory, tiling: Tiling, flips: bool = False) -> list[Band]:
    return list(bands(segmenter, scene, tiling, flips=flips, probabilities=True))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("model", "tile", "overlap"),
    [(NEAR, 64, 32), (NEAR, 256, 128), (TINY, 256, 128), (TINY, 320, 160)],
    ids=["near-64", "near-256", "unet-256", "unet-320"],
)
def test_tiles_give_what_the_whole_image_gives(
    model: ModelSpec, tile: int, overlap: int, classes: int
) -> None:
    """Everywhere, for models that look no further than a quarter of the overlap, as these two do."""
    segmenter, image = untrained(classes, model), smooth(470, 620)
    whole = segmenter.probabilities([image])[0]
    tiling = Tiling.of(image.shape[:2], segmenter.pass_size, tile, overlap)
    assert len(tiling.rows.starts) > 1
    mask, shares = joined(predicted(segmenter, InMemory(image), tiling))
    np.testing.assert_allclose(shares, whole, rtol=0, atol=1e-6)
    assert len(np.unique(mask)) == classes
    assert np.count_nonzero(mask != segmenter.masks([image])[0]) <= 2  # a logit on the threshold


def test_a_seam_would_show() -> None:
    """The test above has a model that tiles do change, where the overlap is too small for it."""
    segmenter, image = untrained(2, TINY), smooth(300, 300)
    tiling = Tiling.of((300, 300), segmenter.pass_size, 128, 32)
    _, shares = joined(predicted(segmenter, InMemory(image), tiling))
    apart = np.abs(shares - segmenter.probabilities([image])[0]).max()
    assert 1e-4 < apart < 0.1


def test_what_fits_a_pass_is_seen_as_the_trainer_sees_it() -> None:
    segmenter, image = untrained(), smooth(100, 300)
    mask, shares = joined(predicted(segmenter, InMemory(image), Tiling.of((100, 300), segmenter.pass_size)))
    np.testing.assert_array_equal(shares, segmenter.probabilities([image])[0])
    np.testing.assert_array_equal(mask, segmenter.masks([image])[0])


@pytest.mark.parametrize("shape", [(470, 300), (330, 200), (289, 64)])
def test_going_on_gives_the_same_to_the_last_bit(shape: tuple[int, int]) -> None:
    segmenter, scene = untrained(), InMemory(smooth(*shape))
    tiling = Tiling.of(shape, segmenter.pass_size, 128, 64)
    once = predicted(segmenter, scene, tiling)
    assert len(once) > 3
    for first in range(1, len(once)):
        again = list(bands(segmenter, scene, tiling, probabilities=True, first=first))
        assert [band.top for band in again] == [band.top for band in once[first:]]
        for ours, theirs in zip(joined(again), joined(once[first:]), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_where_an_image_shows_nothing_nothing_is_said_or_predicted() -> None:
    segmenter, image = untrained(), smooth(300, 500)
    valid = np.ones((300, 500), bool)
    valid[:, 260:] = False
    valid[10:20, 30:40] = False
    scene = InMemory(image, valid)
    tiling = Tiling.of((300, 500), segmenter.pass_size, 128, 32)
    passes: list[int] = []
    segmenter.model.register_forward_hook(lambda model, inputs, output: passes.append(len(inputs[0])))
    mask, shares = joined(predicted(segmenter, scene, tiling))
    np.testing.assert_array_equal(mask == 255, ~valid)
    np.testing.assert_array_equal(np.isnan(shares[0]), ~valid)
    assert 0 < sum(passes) < scene.windows
    full, all_shares = joined(predicted(segmenter, InMemory(image), tiling))
    np.testing.assert_array_equal(mask[valid], full[valid])
    np.testing.assert_array_equal(shares[0][valid], all_shares[0][valid])


def test_flips_are_the_mean_of_mirrored_logits() -> None:
    segmenter, image = untrained(), smooth(96, 128)
    logits = [
        segmenter.logits([np.ascontiguousarray(image[::down, ::across])])[0][:, ::down, ::across]
        for down in (1, -1)
        for across in (1, -1)
    ]
    expected = segmenter.probabilities_of(np.mean(logits, axis=0))
    tiling = Tiling.of((96, 128), segmenter.pass_size)
    _, shares = joined(predicted(segmenter, InMemory(image), tiling, flips=True))
    np.testing.assert_allclose(shares, expected, atol=1e-6)
    assert np.abs(shares - segmenter.probabilities([image])[0]).max() > 1e-3


def test_memory_does_not_grow_with_the_height() -> None:
    segmenter = untrained(2, NEAR)
    peaks = []
    for height in (1024, 8192):
        scene = InMemory(np.broadcast_to(smooth(64, 64)[:1], (height, 64, 3)))
        tiling = Tiling.of(scene.shape, segmenter.pass_size, 128, 32)
        tracemalloc.start()
        for _ in bands(segmenter, scene, tiling, probabilities=True):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert scene.most <= 128 * 128
    assert peaks[1] < 1.2 * peaks[0]


@given(
    extent=st.integers(1, 60).map(STRIDE.__mul__),
    side=st.integers(2, 12).map(STRIDE.__mul__),
    share=st.floats(0.0, 0.5),
)
def test_the_weights_of_all_tiles_are_one_everywhere(extent: int, side: int, share: float) -> None:
    overlap = max(STRIDE, int(side * share) // STRIDE * STRIDE)
    axis = Axis.of(extent, side, overlap)
    total = np.zeros(extent)
    for start, weight in zip(axis.starts, axis.weights, strict=True):
        assert start % STRIDE == 0
        assert (weight >= 0.0).all()
        total[start : start + axis.side] += weight
    np.testing.assert_allclose(total, 1.0, atol=1e-6)
    for one, other in pairwise(axis.starts):
        shared = one + axis.side - other
        assert shared >= overlap
    assert [axis.final(i) for i in range(len(axis.starts))][-1].stop == extent


def test_a_large_image_is_cut_into_tiles_of_a_pass() -> None:
    tiling = Tiling.of((30_000, 30_000), PassSize.of(8, 256))
    assert (tiling.rows.side, tiling.columns.side) == (1024, 1024)
    assert 1024 - tiling.rows.starts[1] >= 256
    assert len(tiling.rows.starts) == 39
