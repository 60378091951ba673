"""A model judged on data: at its own threshold, shown the images as it was shown its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.crops.normalization import Normalization
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.inference.judging import judged
from lossweep.trainers.loop.measurement import evaluate_split
from lossweep.trainers.plan import MeasureSpec
from tests.trainers.inference.models import untrained


def test_a_model_is_measured_at_its_own_threshold_and_the_worst_images_are_shown(
    scenes: SegmentationData,
) -> None:
    names = scenes.prior.names
    segmenter = untrained(names, normalization=scenes.val.normalization, threshold=0.1)
    found = judged(segmenter, scenes, MeasureSpec(), "test", most=3)
    expected = evaluate_split(
        segmenter.model,
        scenes.test,
        scenes.prior,
        MeasureSpec(),
        0.1,
        training=segmenter.spec.training.model_copy(update={"precision": "float32"}),
        device="cpu",
    )
    assert found.measured.metrics == expected.metrics
    assert (found.thresholds, found.images) == ((0.1,), len(scenes.test))
    wrong = [int(np.count_nonzero((one.mask != 255) & (one.mask != one.prediction))) for one in found.wrong]
    assert wrong == sorted(wrong, reverse=True)
    assert len(wrong) == 3
    counts = [sum(alarms + misses for _, alarms, misses in image) for image in found.measured.image_pixels]
    assert wrong == sorted(counts, reverse=True)[:3]


def test_several_classes_are_measured_at_thresholds_of_validation(tmp_path: Path) -> None:
    spec = ScenesSource(source="scenes", tile=64, train=6, val=3, test=2, classes=("nothing", "car", "truck"))
    data = load_data(spec, tmp_path)
    segmenter = untrained(data.prior.names, normalization=data.val.normalization)
    of_validation = judged(segmenter, data, MeasureSpec(), "val")
    of_test = judged(segmenter, data, MeasureSpec(), "test")
    assert of_test.thresholds == of_validation.thresholds == of_validation.measured.thresholds
    assert len(of_test.measured.curves) == 2


def test_other_data_are_shown_as_the_model_was_shown_its_own(scenes: SegmentationData) -> None:
    names, own = scenes.prior.names, scenes.val.normalization
    segmenter = untrained(names, normalization=own)
    darker = own.model_copy(update={"mean": tuple(mean / 2 for mean in own.mean)})
    other = untrained(names, normalization=darker)
    ours, theirs = (judged(each, scenes, MeasureSpec(), "val") for each in (segmenter, other))
    assert ours.measured.metrics != theirs.measured.metrics
    (batch,) = scenes.val.normalized_by(darker).evaluation_batches(8, "cpu")
    (plain,) = scenes.val.evaluation_batches(8, "cpu")
    shift = batch.images[:, 0] - plain.images[:, 0]
    assert shift.mean().item() == pytest.approx(own.mean[0] / 2 / own.std[0], rel=1e-4)


def test_floats_that_another_data_set_stored_are_normalized_by_the_models_ranges() -> None:
    image = np.random.default_rng(0).uniform(-40.0, 60.0, (30, 30, 2)).astype(np.float32)
    wide, narrow = ((-50.0, 80.0), (-50.0, 80.0)), ((-45.0, 61.0), (-41.0, 75.0))
    model = Normalization(mean=(30000.0, 20000.0), std=(9000.0, 7000.0), dtype="uint16", ranges=wide)
    other = Normalization(mean=(1.0, 2.0), std=(3.0, 4.0), dtype="uint16", ranges=narrow)
    ours = model.normalized(image)
    theirs = model.of_stored_by(other).normalized(image)  # stored by the other's ranges
    np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=3e-4)
    assert model.of_stored_by(model) is model


def test_data_of_another_kind_are_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    data = load_data(ScenesSource(source="scenes", tile=64, train=4, val=2, test=1), tmp_path)
    data = replace(data, test=[])  # type: ignore[arg-type]
    segmenter = untrained(3, normalization=Normalization(mean=(1.0,), std=(1.0,)))
    with pytest.raises(UserError) as raised:
        judged(segmenter, data, MeasureSpec(), "test")
    classes, bands, split = map(str, raised.value.problems)
    assert "the model knows other classes" in classes
    assert "found 3 bands of uint8; allowed: 1 band of uint8" in bands
    assert "no test split" in split
