"""Shapes lie where and as they are told to, in the picture as in their cover."""

from __future__ import annotations

import numpy as np
import pytest

from lossweep.trainers.data.sources.brush import Brush

SIZE = 64
ANGLES = [0.0, 0.4, 1.1, np.pi / 2, 2.0, 2.9]


def inside(
    y: float, x: float, half_length: float, half_width: float, angle: float, margin: float
) -> np.ndarray:
    """The pixels of a rectangle, grown by a margin: by corners and half-planes, not as `Brush` does it."""
    ahead = np.array([np.sin(angle), np.cos(angle)])  # (y, x): angles run from the x axis towards y
    aside = np.array([np.cos(angle), -np.sin(angle)])
    offsets = np.stack(np.mgrid[:SIZE, :SIZE], axis=2) - np.array([y, x])
    along, across = abs(offsets @ ahead), abs(offsets @ aside)
    return (along <= half_length + margin) & (across <= half_width + margin)


@pytest.mark.parametrize("angle", ANGLES)
def test_a_rectangle_covers_what_geometry_says_and_is_drawn_there(angle: float) -> None:
    picture = np.zeros((SIZE, SIZE, 3), np.float32)
    brush = Brush(picture, sun=0.0)
    where = (30.3, 27.6, 14.0, 4.0, angle)
    window, cover = brush.cover(*where)
    whole = np.zeros((SIZE, SIZE))
    whole[window] = cover
    assert (whole[inside(*where, margin=-0.51)] == 1.0).all()
    assert (whole[~inside(*where, margin=0.51)] == 0.0).all()
    brush.rectangle(*where, color=np.full(3, 100.0))
    np.testing.assert_allclose(picture, np.repeat(whole[..., None], 3, axis=2) * 100.0, atol=1e-4)


@pytest.mark.parametrize("sun", ANGLES)
def test_a_shadow_is_the_shape_swept_away_from_the_sun(sun: float) -> None:
    picture = np.full((SIZE, SIZE, 3), 100.0, np.float32)
    where = (30.0, 30.0, 6.0, 3.0, 0.7)
    Brush(picture, sun).shadow(*where, reach=8.0)
    dark = picture[..., 0] < 99.0
    rows, columns = np.nonzero(dark)
    away = np.array([rows.mean() - where[0], columns.mean() - where[1]])
    assert away @ np.array([np.sin(sun), np.cos(sun)]) > 3.0
    assert abs(away @ np.array([np.cos(sun), -np.sin(sun)])) < 0.5
    assert picture.min() >= 51.9


def test_a_disc_lies_where_it_is_told_to_and_shapes_may_leave_the_picture() -> None:
    picture = np.zeros((SIZE, SIZE, 3), np.float32)
    brush = Brush(picture, sun=0.0)
    brush.disc(20.0, 40.0, 5.0, np.full(3, 100.0))
    rows, columns = np.nonzero(picture[..., 0])
    assert (rows.mean(), columns.mean()) == pytest.approx((20.0, 40.0))
    assert picture[..., 0].sum() / 100.0 == pytest.approx(np.pi * 25.0, rel=0.05)
    brush.rectangle(-20.0, 100.0, 5.0, 5.0, 0.3, np.full(3, 9.0))
    brush.disc(70.0, -9.0, 3.0, np.full(3, 9.0))
    assert 9.0 not in picture
