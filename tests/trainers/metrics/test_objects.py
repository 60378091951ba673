from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import lossweep.trainers.metrics.objects as objects_module
from lossweep.trainers.metrics.counts import Counts
from lossweep.trainers.metrics.objects import ObjectCounts, TrueObjects
from lossweep.trainers.plan import MeasureSpec

PLAIN = MeasureSpec()


def compare(
    truth: np.ndarray,
    prediction: np.ndarray,
    spec: MeasureSpec = PLAIN,
    labelled: np.ndarray | None = None,
) -> ObjectCounts:
    return TrueObjects.of(truth, labelled, spec).compare(prediction, spec)


def canvas(*boxes: tuple[int, int, int, int], size: int = 48) -> np.ndarray:
    """A mask with rectangles (top, left, height, width)."""
    mask = np.zeros((size, size), dtype=bool)
    for top, left, height, width in boxes:
        mask[top : top + height, left : left + width] = True
    return mask


def blobs(rng: np.random.Generator, size: int, density: float, smoothness: float) -> np.ndarray:
    field = (
        ndimage.gaussian_filter(rng.normal(size=(size, size)), smoothness)
        if smoothness
        else rng.normal(size=(size, size))
    )
    return field > np.quantile(field, 1 - density)


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(5, 40))
    density, smoothness = draw(st.sampled_from([0.0, 0.1, 0.4, 0.9])), draw(st.sampled_from([0.0, 0.7, 1.5]))
    truth = blobs(rng, size, density, smoothness) if density else np.zeros((size, size), bool)
    if draw(st.booleans()):
        flips = rng.random((size, size)) < draw(st.sampled_from([0.0, 0.02, 0.1]))
        return truth, truth ^ flips
    return truth, blobs(rng, size, 0.3, smoothness)


def by_loops(truth: np.ndarray, prediction: np.ndarray, spec: MeasureSpec) -> Counts:
    """The definition, object by object: an oracle that shares nothing with the code under test."""
    structure = np.ones((3, 3)) if spec.connectivity == 8 else None
    sides = []
    for mask in (truth, prediction):
        labels, count = ndimage.label(mask, structure)
        each = [labels == i for i in range(1, count + 1)]
        sides.append([one for one in each if one.sum() >= spec.minimum_area])
    tp = sum(any((t & p).sum() > spec.object_iou * (t | p).sum() for p in sides[1]) for t in sides[0])
    return Counts(tp, len(sides[1]) - tp, len(sides[0]) - tp)


@settings(max_examples=60)
@given(mask_pairs(), st.sampled_from([4, 8]), st.sampled_from([1, 3]), st.sampled_from([0.5, 0.75]))
def test_equals_the_definition(
    masks: tuple[np.ndarray, np.ndarray], connectivity: int, area: int, iou: float
) -> None:
    spec = MeasureSpec(connectivity=connectivity, minimum_area=area, object_iou=iou)
    found = compare(*masks, spec)
    assert found.counts == by_loops(*masks, spec)
    assert found.miscount == abs(found.counts.fp - found.counts.fn)


@pytest.fixture(scope="module")
def panoptica_counts():  # type: ignore[no-untyped-def]
    if sys.version_info >= (3, 14):
        pytest.skip("panoptica asks for a numpy that has no wheels for 3.14")
    import panoptica

    evaluator = panoptica.Panoptica_Evaluator(
        expected_input=panoptica.InputType.UNMATCHED_INSTANCE,
        instance_matcher=panoptica.NaiveThresholdMatching(matching_threshold=0.5, strict_threshold=True),
        instance_metrics=[panoptica.Metric.IOU],
        global_metrics=[],
    )

    def counts(truth: np.ndarray, prediction: np.ndarray) -> Counts:
        labels = [ndimage.label(mask, np.ones((3, 3)))[0].astype(np.uint16) for mask in (prediction, truth)]
        result = evaluator.evaluate(*labels, verbose=False)["ungrouped"]
        return Counts(int(result.tp), int(result.fp), int(result.fn))

    return counts


@settings(max_examples=25)
@given(masks=mask_pairs())
def test_equals_panoptica_on_random_masks(panoptica_counts, masks: tuple[np.ndarray, np.ndarray]) -> None:  # type: ignore[no-untyped-def]
    assert compare(*masks).counts == panoptica_counts(*masks)


def test_many_components_are_counted_by_sorting_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    truth = blobs(rng, 40, 0.3, 0.0)
    prediction = truth ^ (rng.random((40, 40)) < 0.05)
    expected = compare(truth, prediction)
    assert expected.counts.tp > 0
    monkeypatch.setattr(objects_module, "_LARGEST_TABLE", 1)
    assert compare(truth, prediction) == expected


@pytest.mark.parametrize(("shift", "matches"), [(0, 1), (2, 1), (3, 0)])
def test_a_shifted_object(shift: int, matches: int) -> None:
    """12 x 12, shifted by (2, 2): IoU .53; by (3, 3): .39."""
    found = compare(canvas((8, 8, 12, 12)), canvas((8 + shift, 8 + shift, 12, 12)))
    assert found.counts == Counts(matches, 1 - matches, 1 - matches)
    assert found.miscount == 0


def test_an_iou_of_exactly_one_half_is_no_match() -> None:
    assert compare(canvas((4, 4, 2, 4)), canvas((4, 4, 2, 8))).counts == Counts(0, 1, 1)
    assert compare(canvas((4, 4, 2, 4)), canvas((4, 4, 2, 7))).counts == Counts(1, 0, 0)


def test_connectivity_decides_what_one_object_is() -> None:
    corner = canvas((4, 4, 3, 3), (7, 7, 3, 3))
    assert compare(corner, corner, MeasureSpec(connectivity=8)).counts.tp == 1
    assert compare(corner, corner, MeasureSpec(connectivity=4)).counts.tp == 2


def test_small_objects_count_on_neither_side() -> None:
    spec = MeasureSpec(minimum_area=4)
    truth, prediction = canvas((2, 2, 1, 3), (10, 10, 4, 4)), canvas((10, 10, 4, 4), (30, 30, 1, 3))
    assert compare(truth, prediction).counts == Counts(1, 1, 1)
    assert compare(truth, prediction, spec).counts == Counts(1, 0, 0)


class TestIgnoredPixels:
    labelled = ~canvas((0, 0, 48, 16))
    """The left third is unlabelled."""

    def test_a_prediction_mostly_there_does_not_count(self) -> None:
        found = compare(canvas(), canvas((20, 11, 4, 8)), labelled=self.labelled)  # 5 of 8 columns ignored
        assert found == ObjectCounts()

    def test_a_prediction_half_there_counts(self) -> None:
        found = compare(canvas(), canvas((20, 12, 4, 8)), labelled=self.labelled)  # 4 of 8
        assert found == ObjectCounts(Counts(0, 1, 0), 1)

    def test_iou_is_of_labelled_pixels(self) -> None:
        truth, prediction = canvas((20, 16, 4, 4)), canvas((20, 6, 4, 14))
        assert compare(truth, prediction).counts == Counts(0, 1, 1)
        assert compare(truth, prediction, labelled=self.labelled).counts == Counts(1, 0, 0)

    def test_a_small_rest_outside_does_not_count(self) -> None:
        spec = MeasureSpec(minimum_area=9)
        found = compare(canvas(), canvas((20, 14, 4, 4)), spec, self.labelled)  # 8 labelled pixels, just half
        assert found == ObjectCounts()

    def test_labelled_everywhere_is_as_good_as_none_given(self) -> None:
        truth, prediction = canvas((8, 8, 12, 12)), canvas((9, 9, 12, 12), (40, 40, 3, 3))
        everywhere = np.ones_like(truth)
        assert compare(truth, prediction, labelled=everywhere) == compare(truth, prediction)


def test_a_shattered_prediction_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "MAXIMUM_OBJECTS", 20)
    truth = canvas((8, 8, 12, 12), (2, 40, 1, 1))
    dots = np.zeros_like(truth)
    dots[::4, ::4] = True
    found = compare(truth, dots, MeasureSpec(minimum_area=2))
    assert found == ObjectCounts(Counts(0, 20, 1), 19, degenerate=1)


def test_an_empty_truth_and_an_empty_prediction() -> None:
    assert compare(canvas(), canvas()) == ObjectCounts()
    assert compare(canvas(), canvas((1, 1, 5, 5))) == ObjectCounts(Counts(0, 1, 0), 1)
    assert compare(canvas((1, 1, 5, 5)), canvas()) == ObjectCounts(Counts(0, 0, 1), 1)


def test_a_transposed_mask_gives_the_same() -> None:
    rng = np.random.default_rng(1)
    truth, prediction = blobs(rng, 30, 0.3, 1.0), blobs(rng, 30, 0.3, 1.0)
    assert compare(truth.T, prediction.T) == compare(truth, prediction)


def test_the_count_error_is_relative_to_the_true_count() -> None:
    both = ObjectCounts(Counts(3, 5, 1), 4) + ObjectCounts(Counts(0, 0, 4), 4)
    assert both.count_error == 8 / 8
    assert ObjectCounts(Counts(0, 3, 0), 3).count_error == 3.0
