"""What a mask holds becomes classes, or is refused with a hint that can be followed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.sources.masks import MaskCoding
from lossweep.trainers.data.sources.picture import Picture
from lossweep.trainers.data.spec import FolderSource, ImportSource

CLASSES = ("ground", "car", "boat")


def spec_of(classes: tuple[str, ...] = CLASSES, **changes: Any) -> FolderSource:
    return FolderSource(source="folder", root="x", classes=classes, **changes)


def grey(*values: int, dtype: type = np.uint8, **changes: Any) -> Picture:
    return Picture(np.array([values], dtype)[..., None], **changes)


def rgb(*colors: tuple[int, int, int]) -> Picture:
    return Picture(np.array([colors], np.uint8))


def refused(spec: FolderSource | ImportSource, picture: Picture) -> str:
    with pytest.raises(UserError) as caught:
        MaskCoding(spec).decode(picture, "a.png")
    (problem,) = caught.value.problems
    return str(problem)


def followed(spec: FolderSource, said: str) -> FolderSource:
    """The spec with the colors that a hint proposes."""
    colors = yaml.safe_load(re.search(r"`(colors: .*?)`", said)[1])["colors"]  # type: ignore[index]  # or fails
    return FolderSource.model_validate({**spec.model_dump(), "colors": colors})


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_the_last_class_is_one_and_the_number_of_classes_is_none(dtype: type) -> None:
    coded = MaskCoding(spec_of()).decode(grey(0, 1, 2, 255, dtype=dtype), "a.png")
    np.testing.assert_array_equal(coded.mask, [[0, 1, 2, 255]])
    assert "found 3 in 1 pixels; allowed: 0 to 2" in refused(spec_of(), grey(0, 1, 2, 3, dtype=dtype))


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_negative_value_is_no_class(dtype: type) -> None:
    assert "found -1 in 2 pixels" in refused(spec_of(), grey(0, 1, -1, -1, dtype=dtype))


def test_without_an_ignored_value_255_is_no_class() -> None:
    assert "found 255 in 1 pixels" in refused(spec_of(ignore_index=None), grey(0, 1, 255))


def test_a_color_mask_names_its_colors_and_the_hint_can_be_followed() -> None:
    spec, picture = spec_of(("ground", "car")), rgb((0, 0, 0), (0, 0, 0), (10, 20, 30))
    said = refused(spec, picture)
    assert "found [0, 0, 0] in 2 pixels, [10, 20, 30] in 1 pixels" in said
    mask = MaskCoding(followed(spec, said)).decode(picture, "a.png").mask
    np.testing.assert_array_equal(mask, [[0, 0, 1]])


def test_a_color_mask_without_black_has_its_commonest_color_as_background() -> None:
    spec, picture = spec_of(("ground", "car")), rgb((9, 9, 9), (9, 9, 9), (10, 20, 30))
    mask = MaskCoding(followed(spec, refused(spec, picture))).decode(picture, "a.png").mask
    np.testing.assert_array_equal(mask, [[0, 0, 1]])


@pytest.mark.parametrize("colors", [[(0, 0, 0)], [(0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3)]])
def test_no_table_is_made_up_where_colors_are_too_few_or_too_many(colors: list[tuple[int, int, int]]) -> None:
    said = refused(spec_of(), rgb(*colors))
    assert "`colors: {" not in said
    assert "under `colors`" in said


@settings(max_examples=200)
@given(
    count=st.integers(2, 4),
    values=st.lists(st.integers(0, 255), min_size=1, max_size=6),
    colored=st.booleans(),
    ignore=st.sampled_from([255, 7, None]),
)
def test_whatever_a_mask_holds_a_proposed_table_reads_it(
    count: int, values: list[int], colored: bool, ignore: int | None
) -> None:
    spec = spec_of(tuple("abcd"[:count]), ignore_index=ignore)
    picture = rgb(*[(v, v, v // 2) for v in values]) if colored else grey(*values)
    try:
        MaskCoding(spec).decode(picture, "a.png")
    except UserError as error:
        said = str(error)
        if "`colors: {" in said:
            MaskCoding(followed(spec, said)).decode(picture, "a.png")


def test_grey_levels_that_are_as_many_as_the_classes_are_proposed_in_order() -> None:
    said = refused(spec_of(), grey(0, 100, 50, 255))
    assert "`colors: {car: 50, boat: 100, ignore: 255}`" in said
    np.testing.assert_array_equal(
        MaskCoding(followed(spec_of(), said)).decode(grey(0, 100, 50, 255), "a").mask, [[0, 2, 1, 255]]
    )


def test_indices_beyond_the_classes_are_told_as_classes_without_a_name() -> None:
    assert "`classes` needs a name for each index from 0 to 11" in refused(spec_of(), grey(0, 1, 2, 8, 11))
    assert "`classes`" not in refused(spec_of(), grey(0, 1, 2, 200, 11))


def test_an_imported_mask_is_told_of_no_key_that_its_source_lacks() -> None:
    spec = ImportSource(source="import", function="a.b:make", classes=("ground", "car"))
    for picture in (grey(0, 200), grey(0, 1, 9), grey(0, 0.5, dtype=np.float32)):  # type: ignore[arg-type]  # a fraction
        said = refused(spec, picture)
        assert "colors" not in said
    assert "`function` (a.b:make) return class indices" in refused(spec, grey(0, 200))


def test_a_jpeg_mask_is_suspicious_and_one_that_is_smeared_says_so() -> None:
    (said,) = MaskCoding(spec_of()).decode(grey(0, 1, lossy=True), "a.jpg").suspicions
    assert "JPEG" in said
    assert "save masks as PNG" in refused(spec_of(), grey(0, 1, 3, lossy=True))
    assert "save masks as PNG" in refused(spec_of(colors={"car": 9, "boat": 99}), grey(0, 10, lossy=True))


def test_a_mask_that_is_partly_transparent_is_suspicious() -> None:
    coding = MaskCoding(spec_of())
    assert coding.decode(grey(0, 1, alpha=np.array([[True, True]])), "a").suspicions == ()
    (said,) = coding.decode(grey(0, 1, alpha=np.array([[True, False]])), "a").suspicions
    assert "transparent" in said


@pytest.mark.parametrize(
    ("nodata", "expected", "counted"),
    [(99, [0, 1, 255, 255], 1), (0, [0, 1, 255, None], 1), (255, [0, 1, 255, None], 0)],
)
def test_a_mask_s_nodata_is_ignored_unless_it_is_a_class(
    nodata: float, expected: list[int | None], counted: int
) -> None:
    values = [0, 1, 255, 99] if expected[3] is not None else [0, 1, 255, 1]
    coded = MaskCoding(spec_of()).decode(grey(*values, nodata=nodata), "a")
    np.testing.assert_array_equal(coded.mask, [[1 if e is None else e for e in expected]])
    assert coded.ignored == counted


def test_a_colored_mask_s_nodata_is_ignored_unless_it_is_a_class_s_color() -> None:
    coding = MaskCoding(spec_of(("ground", "car"), colors={"car": 200}))
    np.testing.assert_array_equal(coding.decode(grey(0, 200, 99, nodata=99), "a").mask, [[0, 1, 255]])
    np.testing.assert_array_equal(coding.decode(grey(0, 200, nodata=200), "a").mask, [[0, 1]])
    np.testing.assert_array_equal(coding.decode(grey(0, 200, nodata=0), "a").mask, [[0, 1]])
    colors = np.array([[0, 0, 0], [200, 200, 200], [9, 9, 9]], np.uint8)
    indexed = grey(0, 1, 2, nodata=2, palette=colors)
    np.testing.assert_array_equal(coding.decode(indexed, "a").mask, [[0, 1, 255]])
    indexed = grey(0, 1, nodata=1, palette=colors)
    np.testing.assert_array_equal(coding.decode(indexed, "a").mask, [[0, 1]])


def test_an_index_beyond_its_palette_has_no_color() -> None:
    palette = np.array([[0, 0, 0], [9, 9, 9]], np.uint8)
    coded = MaskCoding(spec_of()).decode(grey(0, 1, 2, 255, palette=palette), "a")
    assert coded.file("a").palette == {0: (0, 0, 0), 1: (9, 9, 9)}


def test_tallies_of_a_scene_s_parts_are_added() -> None:
    """A class in one part of a scene rules out what the unknown value of another could mean."""
    coding = MaskCoding(spec_of(("ground", "car")))
    parts = [grey(0, 200), grey(0, 1, 255), grey(200, 9)]
    one, other, third = (coding.attempt(part, "a").tally(part) for part in parts)
    whole = one + other + third
    assert whole.unknown == {200.0: 2, 9.0: 1}
    assert whole.known == {0, 1, 255}
    assert "`colors: {" in str(coding.refusal(one, "a"))
    assert "`colors: {" not in str(coding.refusal(one + other, "a"))


def test_no_table_is_proposed_beside_a_class_that_it_would_refuse() -> None:
    assert "`colors: {" not in refused(spec_of(("ground", "car")), grey(0, 1, 200))


def test_a_color_mask_of_many_colors_was_a_jpeg() -> None:
    colors = [(value, 0, 0) for value in range(100)]
    said = refused(spec_of(), rgb(*colors))
    assert "JPEG" in said
    assert len(said) < 400


@pytest.mark.parametrize("name", ["yes", "no", "a: b", "two words", "9", "null", "é", "#1"])
def test_a_table_can_be_copied_whatever_a_class_is_called(name: str) -> None:
    spec = spec_of(("ground", name))
    assert followed(spec, refused(spec, grey(0, 200))).colors == {name: 200}
