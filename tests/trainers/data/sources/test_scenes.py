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


def test_vehicles_neither_lie_on_each_other_nor_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are counted: two that touch would be one."""
    draw, found = scenes._draw_vehicle, 0

    def watched(brush: Brush, generator: object, roads: object, mask: np.ndarray, trucks: bool) -> None:
        nonlocal found
        before = mask > 0
        draw(brush, generator, roads, mask, trucks)  # type: ignore[arg-type]  # passed on as they came
        drawn = (mask > 0) & ~before
        found += drawn.any()
        assert not (ndimage.binary_dilation(drawn) & before).any()

    monkeypatch.setattr(scenes, "_draw_vehicle", watched)
    monkeypatch.setattr(scenes, "_VEHICLES", 20.0)
    for seed in range(4):
        render(np.random.default_rng(seed), 96)
    assert found > 40


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


def test_a_seed_draws_the_picture_that_it_always_drew() -> None:
    """A store is found by `VERSION` and the seed: whoever changes what is drawn raises it."""
    source = Scenes(ScenesSource(source="scenes"))
    first, second, third = (source.decode(item) for item in source.listing().of("train")[:3])
    assert scenes.VERSION == 1
    assert [one.image.mean() for one in (first, second, third)] == pytest.approx(
        [107.3, 104.3, 101.9], abs=0.1
    )
    assert [one.image.std() for one in (first, second, third)] == pytest.approx([29.6, 20.4, 20.4], abs=0.1)
    assert [one.mask.sum() for one in (first, second, third)] == pytest.approx([87, 25, 178], abs=2)
    assert np.argwhere(third.mask).mean(axis=0) == pytest.approx((68.8, 55.9), abs=0.5)


@pytest.mark.parametrize("angle", [0.0, 0.6, 1.8, 2.9])
@pytest.mark.parametrize("side", [-1, 1])
def test_lanes_run_along_their_road_a_quarter_of_its_width_off_the_middle(angle: float, side: int) -> None:
    road = scenes._Road(angle=angle, offset=7.0, bend=0.001, width=16.0)
    for along in (-30.0, 0.0, 25.0):
        y, x, heading = road.lane(along, side, 48.0)
        assert road.distance_at(y, x, 48.0) == pytest.approx(side * 4.0, abs=0.05)
        ahead = road.distance_at(y + 2.0 * np.sin(heading), x + 2.0 * np.cos(heading), 48.0)
        assert ahead == pytest.approx(side * 4.0, abs=0.05)
