"""Names that nearly pair: what they differ by is found, and nothing is made up where they differ by more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossweep.trainers.data.sources.affixes import difference

NAMES = ("a1", "a2", "b17", "c_3")


@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [
        ("{}", "{}_mask", "masks end in '_mask'"),
        ("{}", "{}.tif", "masks end in '.tif'"),
        ("{}", "mask_{}", "masks start with 'mask_'"),
        ("{}_image", "{}", "images end in '_image'"),
        ("{}_sat", "{}_mask", "masks end in '_mask', those of their images end in '_sat'"),
        ("img-{}", "lbl-{}", "masks start with 'lbl-', those of their images start with 'img-'"),
        ("A{}", "a{}", "upper and lower case"),
    ],
)
def test_what_names_differ_by_is_found(image: str, mask: str, words: str) -> None:
    found = difference({image.format(n) for n in NAMES}, {mask.format(n) for n in NAMES})
    assert found is not None
    assert words in found.sentence
    assert found.masks == {image.format(name): mask.format(name) for name in NAMES}


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ({"1"}, {"11"}),
        ({"train1", "train2"}, {"train3", "train4"}),
        ({"x_1", "x_2"}, {"x_3", "x_4"}),
        ({"a"}, {"b"}),
        ({"a"}, set[str]()),
        ({"site_a"}, {"site_b"}),
    ],
)
def test_nothing_is_found_where_names_are_others(images: set[str], masks: set[str]) -> None:
    assert difference(images, masks) is None


@given(
    st.sets(st.text(min_size=1, max_size=6), max_size=6), st.sets(st.text(min_size=1, max_size=6), max_size=6)
)
def test_any_names_are_paired_one_to_one(images: set[str], masks: set[str]) -> None:
    found = difference(images - masks, masks - images)
    if found is not None:
        assert set(found.masks) <= images
        assert set(found.masks.values()) <= masks
        assert len(set(found.masks.values())) == len(found.masks)
