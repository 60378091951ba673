"""A trained model as one value predicts what the trainer measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.loading import SegmentationData, load_data, open_source
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.inference.segmenter import Segmenter, spec_of
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.object_sizes import size_thirds
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.metrics import Meter
from lossweep.trainers.plan import TrainingSpec, TrialPlan
from tests.trainers.inference.models import untrained

Plans = Callable[..., TrialPlan]
LINE = "weighted_ce(power=0.5) @5e-3 x3"


@pytest.mark.parametrize("classes", [("background", "vehicle"), ("background", "car", "truck")], ids=len)
def test_it_predicts_what_the_trainer_measured(
    classes: tuple[str, ...], tmp_path: Path, plan_of: Plans
) -> None:
    """From the images as they are, to the last bit of every figure, and with masks at the tuned threshold."""
    scenes = ScenesSource(source="scenes", tile=64, train=12, val=6, test=4, classes=classes)
    data = load_data(scenes, tmp_path / "cache")
    plan = plan_of(LINE, 3, data=scenes)
    store = CheckpointStore(tmp_path / "checkpoints")
    last = list(train(plan, data, store))[-1]
    model = trained_model(plan, data, store)
    assert model is not None
    spec = spec_of(plan.model, plan.training, data, last.threshold)
    segmenter = Segmenter.of(model, spec).as_measured()
    source = open_source(scenes)
    decoded = [source.decode(item) for item in source.listing().of("val")]
    images = [each.image for each in decoded]
    meter = Meter(
        data.prior,
        plan.measure,
        segmenter.numerics.device,
        thirds=size_thirds(data.val, data.prior, plan.measure),
    )
    for one, logits in zip(decoded, segmenter.logits(images), strict=True):
        assert logits.shape == (data.prior.channels, *one.mask.shape)
        meter.update(torch.from_numpy(logits)[None], torch.from_numpy(one.mask)[None])
    found = meter.compute()
    assert dict(found.metrics) == dict(last.metrics)
    assert found.threshold == last.threshold
    hits = called = true = 0
    for one, mask in zip(decoded, segmenter.masks(images), strict=True):
        labelled = one.mask != IGNORE_INDEX
        hits += np.count_nonzero((mask == 1) & (one.mask == 1))
        called += np.count_nonzero((mask == 1) & labelled)
        true += np.count_nonzero(one.mask == 1)
    # Several classes: the likeliest one is predicted, as figures without a prefix have it.
    prefix, suffix = ("tuned_", "") if len(classes) == 2 else ("", f"/{classes[1]}")
    assert hits / max(true, 1) == pytest.approx(last.metrics[f"{prefix}recall{suffix}"], abs=1e-12)
    assert hits / max(called, 1) == pytest.approx(last.metrics[f"{prefix}precision{suffix}"], abs=1e-12)
    assert called


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_and_masks_are_of_the_same_logits(classes: int) -> None:
    segmenter = untrained(classes, threshold=0.05)
    images = [np.random.default_rng(seed).integers(0, 256, (40, 70, 3), np.uint8) for seed in range(3)]
    logits, probabilities, masks = (
        segmenter.logits(images),
        segmenter.probabilities(images),
        segmenter.masks(images),
    )
    for one, shares, mask in zip(logits, probabilities, masks, strict=True):
        assert one.shape == shares.shape == (segmenter.spec.channels, 40, 70)
        assert len(np.unique(mask)) > 1
        if classes == 2:
            np.testing.assert_allclose(shares, 1 / (1 + np.exp(-one)), rtol=1e-5)
            np.testing.assert_array_equal(mask, one[0] >= 0.05)
        else:
            np.testing.assert_allclose(shares.sum(axis=0), 1.0, rtol=1e-5)
            np.testing.assert_array_equal(mask, shares.argmax(axis=0))


def test_files_and_arrays_of_any_sizes_are_seen_alike(tmp_path: Path) -> None:
    segmenter = untrained()
    random = np.random.default_rng(0)
    arrays = [random.integers(0, 256, (height, width, 3), np.uint8) for height, width in ((33, 64), (64, 40))]
    for index, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{index}.png")
    files = [tmp_path / "0.png", str(tmp_path / "1.png")]
    for ours, theirs in zip(segmenter.logits(files), segmenter.logits(arrays), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_model_predicts_in_float32_unless_told_otherwise() -> None:
    segmenter = untrained(training=TrainingSpec(precision="bfloat16"))
    assert segmenter.numerics.dtype is torch.float32
    assert segmenter.as_measured().numerics.dtype is torch.bfloat16
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    ours, theirs = segmenter.logits([image])[0], segmenter.as_measured().logits([image])[0]
    assert 0 < np.abs(ours - theirs).max() < 0.1


def test_every_image_of_another_kind_is_named(tmp_path: Path) -> None:
    segmenter = untrained()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "grey.png")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n")
    deep = np.zeros((8, 8, 3), np.uint16)
    with pytest.raises(UserError) as raised:
        segmenter.logits([tmp_path / "grey.png", tmp_path / "torn.png", deep, np.zeros(3, np.uint8)])
    grey, torn, sixteen, flat = raised.value.problems
    assert "found 1 band of uint8; allowed: 3 bands of uint8" in str(grey)
    assert str(tmp_path / "torn.png") in str(torn)
    assert "found 3 bands of uint16" in str(sixteen)
    assert "no image of height, width and bands" in str(flat)


def test_nothing_random_of_the_process_is_touched(scenes: SegmentationData) -> None:
    segmenter = untrained()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    segmenter.logits([np.zeros((32, 32, 3), np.uint8)])
    assert torch.equal(torch.rand(1), expected)
