"""Maps of masks against what their definitions say, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.maps.known import KNOWN_MAPS, check_known, maps_of, narrowed


def random_mask(seed: int, height: int, width: int, classes: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    mask = random.choice(classes, (height, width), p=[0.8, *([0.2 / (classes - 1)] * (classes - 1))])
    mask = mask.astype(np.uint8)
    mask[random.random((height, width)) < 0.1] = 255
    return mask


masks = st.builds(random_mask, st.integers(0, 999), st.integers(1, 20), st.integers(1, 20), st.just(3))


@settings(max_examples=60)
@given(mask=masks)
def test_components_are_those_of_scipy(mask: np.ndarray) -> None:
    found = KNOWN_MAPS["components"].compute(mask, 3)
    assert found.shape == (*mask.shape, 1)
    for index in (1, 2):
        expected, count = ndimage.label(mask == index, np.ones((3, 3)))
        mine = np.where(mask == index, found[..., 0], 0)
        assert sorted(np.unique(mine[mine > 0])) == list(range(1, count + 1))
        pairs = set(zip(mine.ravel(), expected.ravel(), strict=True)) - {(0, 0)}
        assert len(pairs) == count  # the same components, whatever their numbers
    assert (found[(mask == 0) | (mask == 255)] == 0).all()


@settings(max_examples=60)
@given(mask=masks)
def test_a_cell_is_that_of_a_nearest_component(mask: np.ndarray) -> None:
    cells, components = (KNOWN_MAPS[name].compute(mask, 3) for name in ("cells", "components"))
    assert cells.shape == (*mask.shape, 2)
    rows, columns = np.indices(mask.shape)
    for index in (1, 2):
        member = mask == index
        found = cells[..., index - 1]
        if not member.any():
            assert (found == 0).all()
            continue
        assert (found[member] == components[member, 0]).all()
        y, x = np.nonzero(member)
        far = (rows[..., None] - y) ** 2 + (columns[..., None] - x) ** 2
        own = np.where(components[y, x, 0] == found[..., None], far, np.inf)
        assert (own.min(-1) == far.min(-1)).all()


@settings(max_examples=60)
@given(mask=masks)
def test_a_signed_distance_is_that_of_the_nearest_pixel(mask: np.ndarray) -> None:
    distances = KNOWN_MAPS["signed_distance"].compute(mask, 3)
    assert distances.shape == (*mask.shape, 2)
    rows, columns = np.indices(mask.shape)

    def nearest(of: np.ndarray) -> np.ndarray:
        y, x = np.nonzero(of)
        return np.sqrt(((rows[..., None] - y) ** 2 + (columns[..., None] - x) ** 2).min(-1))

    for index in (1, 2):
        member, other = mask == index, (mask != index) & (mask != 255)
        found = distances[..., index - 1]
        if not (member.any() and other.any()):
            assert (found == 0).all()
            continue
        expected = np.where(member, 1 - nearest(other), nearest(member))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
        assert (found[member] <= 0).all()
        assert (found[~member] >= 1).all()


def test_skeletons_are_lines_in_a_tube_of_the_pixels_own_classes() -> None:
    mask = np.zeros((30, 60), np.uint8)
    mask[5:25, 5:30] = 1
    mask[5:25, 30:55] = 2
    found = KNOWN_MAPS["skeletons"].compute(mask, 3)[..., 0]
    assert set(np.unique(found)) == {0, 1, 2}
    assert ((found == 0) | (found == mask)).all()
    assert (found[15, 15:45] == mask[15, 15:45]).all()  # one line through both, as both are one shape
    assert 4 <= (found[:, 30] > 0).sum() <= 6
    mask[10, 10] = 255
    assert KNOWN_MAPS["skeletons"].compute(mask, 3)[10, 10] == 0


@pytest.mark.parametrize("name", KNOWN_MAPS)
@pytest.mark.parametrize("classes", [2, 4])
def test_every_kind_takes_any_mask(name: str, classes: int) -> None:
    kind = KNOWN_MAPS[name]
    empty, ignored = np.zeros((5, 7), np.uint8), np.full((5, 7), 255, np.uint8)
    dots = np.zeros((200, 200), np.uint8)
    dots[::2, ::2] = 1  # 10,000 components
    for mask in (empty, ignored, dots, np.ones((1, 1), np.uint8), np.full((1, 9), classes - 1, np.uint8)):
        found = kind.compute(mask, classes)
        assert found.shape == (*mask.shape, kind.planes(classes))
        assert found.dtype == kind.dtype
        assert np.isfinite(found).all()
    assert kind.meaning


def test_ten_thousand_components_are_told_apart() -> None:
    dots = np.zeros((200, 200), np.uint8)
    dots[::2, ::2] = 1
    assert len(np.unique(KNOWN_MAPS["components"].compute(dots, 2))) == 10_001
    assert len(np.unique(KNOWN_MAPS["cells"].compute(dots, 2))) == 10_000


def test_maps_of_a_batch_are_those_of_its_masks() -> None:
    target = torch.stack([torch.from_numpy(random_mask(seed, 9, 12, 3)) for seed in range(3)])
    found = maps_of(target.long(), ("cells", "components"), 3)
    assert found["cells"].shape == (3, 2, 9, 12)
    assert found["cells"].dtype == torch.uint8
    for image, mask in zip(found["cells"], target, strict=True):
        expected = KNOWN_MAPS["cells"].compute(mask.numpy(), 3)
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), expected)


def test_whole_numbers_are_narrow_as_long_as_they_fit() -> None:
    assert narrowed(np.array([0, 255], np.int32)).dtype == np.uint8
    assert narrowed(np.array([-1, 255], np.int32)).dtype == np.int16
    assert narrowed(np.array([0, 32767], np.int32)).dtype == np.int16
    assert narrowed(np.array([0, 32768], np.int32)).dtype == np.int32
    assert narrowed(np.array([0.5], np.float32)).dtype == np.float32


def test_an_unknown_map_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="my_losses:Edge asks for a map that there is not") as raised:
        check_known(("cels", "cells"), "my_losses:Edge")
    (problem,) = raised.value.problems
    assert problem.found == "cels"
    assert "cells" in (problem.allowed or "")
    assert problem.hint == "did you mean 'cells'?"
