"""Procedural satellite scenes: fields, roads, houses, trees, vehicles and what looks like them.

At 96 pixels about 0.95 % of the pixels are vehicle and about 12 % of the scenes hold none: vehicles are drawn
from a Poisson distribution of 2.05 a scene, and cover about 40 pixels each. Containers, sheds, roof vents,
bushes and road paint have a vehicle's size, color or outline, but not all of them together with its
windscreens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.files.errors import Problem
from lossweep.trainers.data.sources.brush import Brush
from lossweep.trainers.data.sources.source import Decoded, Item, Listing, Progress
from lossweep.trainers.data.spec import SPLITS, ScenesSource

VERSION = 1
"""Raised whenever the same seed would draw another picture."""

_VEHICLES, _CLUTTER, _HOUSES, _TREES = 2.05, 4.0, 1.4, 5.0
"""Objects a 96 x 96 scene, on average."""

_BODIES = np.array(
    [
        [228, 228, 224],
        [176, 180, 184],
        [92, 96, 104],
        [38, 40, 46],
        [160, 44, 40],
        [46, 72, 132],
        [196, 182, 150],
    ],
    np.float32,
)
_CLUTTER_COLORS = np.array(
    [[214, 214, 206], [150, 84, 60], [70, 104, 128], [108, 112, 108], [176, 160, 96], [58, 62, 60]],
    np.float32,
)
_ROOFS = np.array(
    [[150, 82, 62], [128, 120, 114], [168, 152, 132], [96, 78, 72], [186, 186, 182]], np.float32
)
_GRASS, _SOIL = np.array([98, 112, 70], np.float32), np.array([156, 136, 104], np.float32)


@dataclass(frozen=True, slots=True)
class _Road:
    """A gently bent road, ``across = offset + bend * along**2`` in its own frame, and how wide it is."""

    angle: float
    offset: float
    bend: float
    width: float

    def distance(self, along: NDArray[np.float32], across: NDArray[np.float32]) -> NDArray[np.float32]:
        """Signed distance to the center line, positive on one side, to first order in the bend."""
        slope = 2.0 * self.bend * along
        across = across - self.offset - self.bend * along**2
        return np.asarray(across / np.sqrt(1.0 + slope**2), np.float32)

    def distance_at(self, y: float, x: float, center: float) -> float:
        """Distance of one point in the scene's coordinates."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        along, across = (x - center) * cos + (y - center) * sin, (y - center) * cos - (x - center) * sin
        return float(self.distance(np.asarray(along, np.float32), np.asarray(across, np.float32)))

    def lane(self, along: float, side: int, center: float) -> tuple[float, float, float]:
        """Return (y, x, heading) in the middle of a lane."""
        across = self.offset + self.bend * along**2 + side * self.width / 4.0
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        heading = self.angle + float(np.arctan(2.0 * self.bend * along))
        return center + along * sin + across * cos, center + along * cos - across * sin, heading


def render(
    generator: np.random.Generator, size: int, trucks: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one scene.

    Args:
        generator: source of all randomness.
        size: side in pixels.
        trucks: whether trucks are class 2 rather than vehicles like the others.

    Returns:
        The image (size, size, 3) and the mask (size, size) of class indices.
    """
    area = (size / 96.0) ** 2
    brush = Brush(_ground(generator, size), sun=generator.uniform(0.0, 2.0 * np.pi))
    roads = [_draw_road(brush, generator) for _ in range(_road_count(generator, size))]
    for _ in range(generator.poisson(_HOUSES * area)):
        if (spot := _clear_of(generator, roads, size, 14.0)) is not None:
            _draw_house(brush, generator, *spot)
    for _ in range(generator.poisson(_TREES * area)):
        if (spot := _clear_of(generator, roads, size, 3.0)) is not None:
            _draw_tree(brush, generator, *spot)
    for _ in range(generator.poisson(_CLUTTER * area)):
        _draw_clutter(brush, generator, roads)
    mask = np.zeros((size, size), np.uint8)
    for _ in range(generator.poisson(_VEHICLES * area)):
        _draw_vehicle(brush, generator, roads, mask, trucks)
    return brush.developed(generator), mask


def _road_count(generator: np.random.Generator, size: int) -> int:
    return int(generator.choice([0, 1, 2], p=[0.15, 0.6, 0.25])) + max(0, size // 192)


@lru_cache(maxsize=64)
def _spline(size: int, knots: int) -> NDArray[np.float32]:
    """Cubic B-spline weights (size, knots + 3): noise on a coarse grid becomes smooth at full resolution."""
    position = np.arange(size) / size * knots
    first = position.astype(int)
    t = position - first
    weights = np.zeros((size, knots + 3), np.float32)
    bases = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for step, basis in enumerate(bases):
        weights[np.arange(size), first + step] = basis / 6.0
    return weights


def _noise(generator: np.random.Generator, size: int, wavelength: float) -> NDArray[np.float32]:
    """Smooth noise (size, size) of about unit variance and features of ``wavelength`` pixels."""
    weights = _spline(size, max(1, round(size / wavelength)))
    grid = generator.standard_normal((weights.shape[1],) * 2, np.float32)
    return np.asarray(weights @ grid @ weights.T * 2.0, np.float32)


def _ground(generator: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Grass and soil in patches, with fields whose rows run in one direction, and grain."""
    dryness = generator.normal(0.0, 0.8)
    patches = _noise(generator, size, 48.0) + 0.6 * _noise(generator, size, 16.0)
    blend = 1.0 / (1.0 + np.exp(-3.0 * (patches + dryness)))[..., None]
    land = _GRASS + generator.normal(0.0, 8.0) + generator.normal(0.0, 3.0, 3) + blend * (_SOIL - _GRASS)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    angle = generator.uniform(0.0, np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    field = np.floor(along / generator.uniform(60, 110)) * 7 + np.floor(across / generator.uniform(40, 80))
    tint = (generator.normal(0.0, 9.0, (64, 1)) + generator.normal(0.0, 3.5, (64, 3)))[field.astype(int) % 64]
    rows = np.sin(across * 2.0 * np.pi / generator.uniform(3.0, 6.0)) * generator.uniform(0.0, 5.0)
    fine = 5.0 * _noise(generator, size, 6.0) + 4.0 * _noise(generator, size, 2.5)
    return np.asarray(land + tint + (rows + fine)[..., None], np.float32)


def _clear_of(
    generator: np.random.Generator, roads: list[_Road], size: int, margin: float
) -> tuple[float, float] | None:
    """Return a random (y, x) at least ``margin`` away from every road, None when a few draws found none."""
    for _ in range(4):
        y, x = generator.uniform(0.0, size, 2)
        if all(abs(road.distance_at(y, x, size / 2)) > road.width / 2 + margin for road in roads):
            return y, x
    return None


def _draw_road(brush: Brush, generator: np.random.Generator) -> _Road:
    size = brush.size
    road = _Road(
        angle=generator.uniform(0.0, np.pi),
        offset=generator.uniform(-0.38, 0.38) * size,
        bend=generator.normal(0.0, 0.12) / size,
        width=generator.uniform(14.0, 20.0),
    )
    y, x = np.mgrid[:size, :size].astype(np.float32) - np.float32(size / 2)
    cos, sin = np.float32(np.cos(road.angle)), np.float32(np.sin(road.angle))
    along = x * cos + y * sin
    distance = road.distance(along, y * cos - x * sin)
    asphalt = np.full(3, generator.uniform(88.0, 132.0), np.float32) + generator.normal(0.0, 3.0, 3)
    brush.blend(np.clip((road.width / 2 + 2.0 - abs(distance)) / 2.0, 0.0, 1.0) * 0.5, asphalt + 34.0)
    brush.blend(np.clip(road.width / 2 + 0.5 - abs(distance), 0.0, 1.0), asphalt)
    wear = np.clip(1.6 - abs(abs(distance) - road.width / 4), 0.0, 1.0) * 0.25
    brush.blend(wear, asphalt - 26.0)
    dashes = (along % 14.0 < 7.0) & (generator.random() < 0.75)
    brush.blend(np.clip(0.9 - abs(distance), 0.0, 1.0) * dashes * 0.7, np.full(3, 216.0, np.float32))
    return road


def _draw_house(brush: Brush, generator: np.random.Generator, y: float, x: float) -> None:
    half_length, half_width = generator.uniform(9.0, 16.0), generator.uniform(6.0, 10.0)
    angle = generator.uniform(0.0, np.pi)
    roof = (
        _ROOFS[generator.integers(len(_ROOFS))] + generator.normal(0.0, 10.0) + generator.normal(0.0, 3.0, 3)
    )
    brush.shadow(y, x, half_length, half_width, angle, reach=generator.uniform(5.0, 9.0))
    brush.rectangle(y, x, half_length, half_width, angle, roof)
    ridge = generator.uniform(8.0, 26.0)
    normal_y, normal_x = np.cos(angle), -np.sin(angle)
    brush.rectangle(
        y + normal_y * half_width / 2,
        x + normal_x * half_width / 2,
        half_length,
        half_width / 2,
        angle,
        roof - ridge,
    )
    for _ in range(generator.poisson(1.2)):  # vents and skylights: bright, of a vehicle's width
        vent_y, vent_x = y + generator.uniform(-5.0, 5.0), x + generator.uniform(-5.0, 5.0)
        brush.rectangle(
            vent_y, vent_x, generator.uniform(1.2, 3.0), 1.2, angle, np.full(3, generator.uniform(60, 225))
        )


def _draw_tree(brush: Brush, generator: np.random.Generator, y: float, x: float) -> None:
    green = np.array([58.0, 80.0, 46.0], np.float32) + generator.normal(0.0, 8.0, 3)
    radius = generator.uniform(1.8, 4.6)
    brush.disc_shadow(y, x, radius, reach=radius)
    for _ in range(3):
        brush.disc(
            y + generator.normal(0, 0.3 * radius), x + generator.normal(0, 0.3 * radius), 0.8 * radius, green
        )
        green = green + generator.uniform(2.0, 10.0)


def _spot(
    generator: np.random.Generator, roads: list[_Road], size: int, on_road: float
) -> tuple[float, float, float]:
    """Return (y, x, heading): in a lane with probability ``on_road``, otherwise anywhere."""
    if roads and generator.random() < on_road:
        road = roads[generator.integers(len(roads))]
        for _ in range(8):
            side = int(generator.choice([-1, 1]))
            y, x, heading = road.lane(generator.uniform(-0.6, 0.6) * size, side, size / 2)
            if 0.0 <= y < size and 0.0 <= x < size:
                return y, x, heading + generator.normal(0.0, 0.05)
    y, x = generator.uniform(0.0, size, 2)
    return y, x, generator.uniform(0.0, 2.0 * np.pi)


def _draw_clutter(brush: Brush, generator: np.random.Generator, roads: list[_Road]) -> None:
    kind = generator.choice(["container", "shed", "bush", "paint", "slab"], p=[0.3, 0.15, 0.2, 0.2, 0.15])
    y, x, heading = _spot(generator, roads, brush.size, on_road=0.9 if kind == "paint" else 0.15)
    color = _CLUTTER_COLORS[generator.integers(len(_CLUTTER_COLORS))] + generator.normal(0.0, 8.0, 3)
    if kind == "container":
        half_length, half_width = generator.uniform(3.6, 7.0), generator.uniform(1.8, 2.5)
        brush.shadow(y, x, half_length, half_width, heading, reach=generator.uniform(2.0, 3.5))
        brush.rectangle(y, x, half_length, half_width, heading, color)
    elif kind == "shed":
        half_length, half_width = generator.uniform(3.0, 5.0), generator.uniform(2.6, 4.0)
        brush.shadow(y, x, half_length, half_width, heading, reach=generator.uniform(2.5, 4.0))
        brush.rectangle(y, x, half_length, half_width, heading, color)
        brush.rectangle(y, x, half_length, 0.4, heading, color - 24.0)
    elif kind == "bush":
        _draw_tree(brush, generator, y, x)
    elif kind == "paint":
        brush.rectangle(
            y, x, generator.uniform(2.0, 4.5), generator.uniform(0.5, 1.8), heading, np.full(3, 212.0)
        )
    else:  # a slab: a vehicle's outline, lying flat
        brush.rectangle(y, x, generator.uniform(3.5, 5.5), generator.uniform(1.6, 2.4), heading, color)


def _draw_vehicle(
    brush: Brush, generator: np.random.Generator, roads: list[_Road], mask: NDArray[np.uint8], trucks: bool
) -> None:
    is_truck = generator.random() < 0.12
    length = generator.uniform(12.0, 16.0) if is_truck else generator.uniform(7.9, 10.4)
    width = generator.uniform(4.4, 5.2) if is_truck else generator.uniform(3.7, 4.6)
    body = _BODIES[generator.integers(len(_BODIES))] + generator.normal(0.0, 7.0, 3)
    for _ in range(20):
        y, x, heading = _spot(generator, roads, brush.size, on_road=0.65)
        window, cover = brush.cover(y, x, length / 2 + 0.5, width / 2 + 0.5, heading)
        if not (mask[window][cover > 0.0] > 0).any():
            break
    else:
        return
    brush.shadow(y, x, length / 2, width / 2, heading, reach=generator.uniform(1.6, 3.0) + is_truck)
    brush.rectangle(y, x, length / 2, width / 2, heading, body)
    ahead_y, ahead_x = np.sin(heading), np.cos(heading)
    glass = np.full(3, generator.uniform(28.0, 58.0), np.float32)
    panes = ((0.40, 0.7),) if is_truck else ((0.17, 0.85), (-0.30, 0.65))
    for place, half in panes:
        brush.rectangle(
            y + place * length * ahead_y,
            x + place * length * ahead_x,
            half,
            0.40 * width,
            heading,
            glass,
            0.85,
        )
    if not is_truck:
        roof = body + generator.uniform(4.0, 16.0)
        brush.rectangle(
            y - 0.06 * length * ahead_y,
            x - 0.06 * length * ahead_x,
            0.14 * length,
            0.38 * width,
            heading,
            roof,
        )
    window, cover = brush.cover(y, x, length / 2, width / 2, heading)
    mask[window][cover >= 0.5] = 2 if is_truck and trucks else 1


class Scenes:
    """The scenes of a `ScenesSource`; scene ``i`` of a split follows from (seed, split, i) alone."""

    def __init__(self, spec: ScenesSource) -> None:
        self._spec = spec

    def listing(self) -> Listing:
        """List as many scenes as the spec asks for."""
        counts = {split: getattr(self._spec, split) for split in SPLITS}
        return Listing(
            tuple(Item(f"scene-{i:05d}", split, i) for split in SPLITS for i in range(counts[split]))
        )

    def content_key(self, listing: Listing, cache: Path, progress: Progress) -> str:
        """Everything a scene follows from."""
        spec = self._spec
        parts = (VERSION, spec.seed, spec.tile, spec.train, spec.val, spec.test, len(spec.classes))
        return "scenes/" + "/".join(map(str, parts))

    def glance(self, item: Item) -> tuple[Problem, ...]:
        """Nothing can be wrong with a scene."""
        return ()

    def decode(self, item: Item) -> Decoded:
        """Draw one scene."""
        generator = np.random.default_rng([self._spec.seed, SPLITS.index(item.split), item.place])
        return Decoded(*render(generator, self._spec.tile, trucks=len(self._spec.classes) > 2))
