from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lossweep.trainers.data.sources import scenes
from lossweep.trainers.data.sources.brush import Brush
from lossweep.trainers.data.sources.scenes import Scenes, render
from lossweep.trainers.data.spec import ScenesSource


def test_about_one_percent_is_vehicle_and_about_an_eighth_of_the_tiles_is_empty() -> None:
    masks = [render(np.random.default_rng([7, index]), 96)[1] for index in range(300)]
    assert 0.0085 <= np.mean([mask.mean() for mask in masks]) <= 0.0105
    assert 0.07 <= np.mean([not mask.any() for mask in masks]) <= 0.17


def test_a_scene_follows_from_seed_split_and_index_alone() -> None:
    small, large = (
        Scenes(ScenesSource(source="scenes", train=2)),
        Scenes(ScenesSource(source="scenes", train=9)),
    )
    one, other = small.decode(small.listing().of("train")[1]), large.decode(large.listing().of("train")[1])
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.mask, other.mask)
    different = [
        Scenes(ScenesSource(source="scenes", seed=1)).decode(small.listing().of("train")[1]),
        small.decode(small.listing().of("val")[1]),
        small.decode(small.listing().of("train")[0]),
    ]
    assert all((scene.image != one.image).any() for scene in different)


def test_trucks_are_a_class_of_their_own_when_asked_for() -> None:
    for seed in range(30):
        image, two = render(np.random.default_rng(seed), 96)
        same, three = render(np.random.default_rng(seed), 96, trucks=True)
        np.testing.assert_array_equal(image, same)
        np.testing.assert_array_equal(two > 0, three > 0)
        if (three == 2).any():
            return
    pytest.fail("no truck in 30 scenes")


def test_vehicles_lie_under_their_mask_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures of one scene, with and without vehicles, as drawn: before the sensor's blur and noise.

    What differs is a vehicle, or its shadow: that darkens all bands alike. A mask that is moved or turned
    against its vehicles leaves some of them bare, as they are twice as long as wide.
    """
    monkeypatch.setattr(Brush, "developed", lambda brush, _: brush._picture.copy())
    structure = np.ones((3, 3), bool)
    vehicles = 0
    for seed in range(12):
        drawn, mask = render(np.random.default_rng(seed), 96)
        with monkeypatch.context() as patch:
            patch.setattr(scenes, "_VEHICLES", 0.0)  # drawn last: all else is the same
            ground, none = render(np.random.default_rng(seed), 96)
        assert not none.any()
        vehicles += ndimage.label(mask, structure)[1]
        changed = abs(drawn - ground).max(axis=2) > 1.0
        assert changed[mask > 0].mean() > 0.97 if mask.any() else not changed.any()
        left = np.sort(drawn / ground, axis=2)
        shadow = (left[..., 2] - left[..., 0] < 1e-3) & (left[..., 2] < 1.0)
        bare = changed & ~shadow & ~ndimage.binary_dilation(mask > 0, structure)
        assert not bare.any()
    assert vehicles >= 12


def test_vehicles_can_be_told_from_the_ground_but_not_by_brightness_alone() -> None:
    """Brightness separates vehicles poorly: their levels overlap the background's widely."""
    on, off = [], []
    for index in range(60):
        image, mask = render(np.random.default_rng([3, index]), 96)
        grey = image.mean(axis=2)
        on.append(grey[mask > 0])
        off.append(grey[mask == 0])
    vehicle, ground = np.concatenate(on), np.concatenate(off)
    assert vehicle.std() > 1.5 * ground.std()
    low, high = np.percentile(vehicle, [25, 75])
    assert ((ground > low) & (ground < high)).mean() > 0.2


@pytest.mark.parametrize("size", [32, 96, 256])
def test_any_size_is_drawn(size: int) -> None:
    image, mask = render(np.random.default_rng(0), size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert mask.shape == (size, size)
    assert set(np.unique(mask)) <= {0, 1}
