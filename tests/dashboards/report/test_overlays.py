"""Overlays: every pixel in the right colour."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lossweep.dashboards.report.overlays import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    TRUE_POSITIVE,
    hits_and_misses,
    overlay,
    tile,
    to_png,
)

MASK = np.array([[0, 1, 1, 0], [2, 2, 255, 255]], dtype=np.uint8)
GUESS = np.array([[0, 1, 0, 1], [2, 1, 1, 0]], dtype=np.uint8)


def test_hits_alarms_and_misses_by_hand() -> None:
    hit, alarm, miss = hits_and_misses(MASK, GUESS)
    assert hit.tolist() == [[False, True, False, False], [True, False, False, False]]
    assert alarm.tolist() == [[False, False, False, True], [False, True, False, False]]  # a wrong class, too
    assert miss.tolist() == [[False, False, True, False], [False, False, False, False]]


def test_opaque_paint_shows_the_exact_colours() -> None:
    painted = overlay(np.zeros((2, 4, 3), dtype=np.uint8), MASK, GUESS, opacity=1.0)
    assert tuple(painted[0, 1]) == TRUE_POSITIVE
    assert tuple(painted[0, 3]) == FALSE_POSITIVE
    assert tuple(painted[0, 2]) == FALSE_NEGATIVE
    assert tuple(painted[0, 0]) == (0, 0, 0)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["hw", "hwc", "chw", "float", "uint16", "flat"]))
@settings(max_examples=25)
def test_any_image_layout_and_type_gives_an_rgb_picture(seed: int, kind: str) -> None:
    chance = np.random.default_rng(seed)
    mask = chance.integers(0, 3, (6, 9)).astype(np.uint8)
    images = {
        "hw": chance.integers(0, 255, (6, 9), dtype=np.uint8),
        "hwc": chance.integers(0, 255, (6, 9, 4), dtype=np.uint8),
        "chw": chance.random((5, 6, 9)).astype(np.float32),
        "float": np.where(chance.random((6, 9, 3)) < 0.1, np.nan, chance.normal(size=(6, 9, 3))),
        "uint16": chance.integers(0, 65535, (6, 9, 3), dtype=np.uint16),
        "flat": np.full((6, 9, 1), 7.0),
    }
    painted = overlay(images[kind], mask, mask)
    assert painted.shape == (6, 9, 3)
    assert painted.dtype == np.uint8


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="one shape"):
        overlay(np.zeros((4, 4, 3)), np.zeros((4, 4), int), np.zeros((2, 4), int))
    with pytest.raises(ValueError, match="height and width"):
        overlay(np.zeros((3, 3, 3)), np.zeros((4, 4), int), np.zeros((4, 4), int))


def test_png_reads_back() -> None:
    picture = overlay(np.zeros((2, 4, 3), dtype=np.uint8), MASK, GUESS)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(to_png(picture)))), picture)


def test_a_tile_counts_what_each_found() -> None:
    truth = np.ones((4, 4), dtype=np.uint8)
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    differs = tile("differs", image, truth, truth, np.zeros_like(truth))
    assert (differs.winner_counts, differs.control_counts) == ((16, 0, 0), (0, 0, 16))
