"""Evaluations in memory of their own: large images, and devices that run short, never touch training."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lossweep.search.study.faults import Fault, FaultKind
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.specs.folder import FolderSource
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.measurement import evaluate_split
from lossweep.trainers.loop.memory import EvaluationTooLarge, OutOfMemory
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.metrics import Meter
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan
from lossweep.trainers.scoring.objectives import ObjectiveSpec

Plans = Callable[..., TrialPlan]
MODEL = ModelSpec(architecture="own_measured:Model")
OWN_MODEL = """
import torch
from torch import nn

class Model(nn.Module):
    most = {True: 10**9, False: 10**9}  # pixels of a pass, in training and not
    passes = []

    def __init__(self, in_channels, classes):
        super().__init__()
        self.body = nn.Conv2d(in_channels, 8, 3, padding=1)
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, images):
        pixels = images[:, 0].numel()
        Model.passes.append((self.training, pixels))
        if pixels > Model.most[self.training]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return self.head(torch.relu(self.body(images)))
"""


@pytest.fixture
def model(importable: Callable[[str, str], None]) -> Iterator[Any]:
    """The class of the model, whose limits and passes are as new."""
    importable("own_measured", OWN_MODEL)
    yield importlib.import_module("own_measured").Model
    del sys.modules["own_measured"]


def test_an_evaluation_short_of_memory_takes_fewer_pixels_and_training_stays(
    scenes: SegmentationData, plan_of: Plans, model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = TrainingSpec(batch=4, precision="float32")
    plan = plan_of("cross_entropy @1e-2 x2", 2, model=MODEL, training=training)
    expected = list(train(plan, scenes, CheckpointStore(tmp_path / "plenty")))
    model.passes.clear()
    model.most[False] = 2 * 64 * 64
    with caplog.at_level(logging.WARNING):
        short = list(train(plan, scenes, CheckpointStore(tmp_path / "short")))
    assert [each.metrics for each in short] == [each.metrics for each in expected]
    assert [each.losses for each in short] == [each.losses for each in expected], "the same training"
    trained = {pixels for training, pixels in model.passes if training}
    assert trained == {4 * 64 * 64}
    # Four images are tried once: what was too much is not tried again at the next evaluation. The rehearsal
    # of the loss is one more pass.
    assert [pixels for _, pixels in model.passes].count(4 * 64 * 64) == 1 + 3 * 2 + 1
    assert "at most 8192 pixels" in caplog.text


def test_no_memory_for_the_smallest_pass_is_no_lack_of_trainings(
    scenes: SegmentationData, plan_of: Plans, model: Any
) -> None:
    model.most[False] = 100
    plan = plan_of("cross_entropy @1e-2 x1", 1, model=MODEL)
    with pytest.raises(EvaluationTooLarge, match="evaluate the images of val") as caught:
        list(train(plan, scenes))
    assert caught.value.__context__ is None
    assert Fault.of(caught.value).kind is FaultKind.EXCEPTION, "half the micro-batch would not help"
    model.most.update({True: 100, False: 10**9})
    with pytest.raises(OutOfMemory, match="no memory for 4 images of 64 pixels"):
        list(train(plan, scenes))


def test_the_test_split_short_of_memory_takes_fewer_pixels_too(
    scenes: SegmentationData, plan_of: Plans, model: Any, tmp_path: Path
) -> None:
    balanced = ObjectiveSpec(use_case="balanced")
    training = TrainingSpec(batch=4, precision="float32")
    plan = plan_of("cross_entropy @1e-2 x1", 1, model=MODEL, training=training, held_out=balanced)
    (expected,) = train(plan, scenes, CheckpointStore(tmp_path / "plenty"))
    model.most[False] = 64 * 64
    (short,) = train(plan, scenes, CheckpointStore(tmp_path / "short"))
    assert short.held_out == expected.held_out
    weights = trained_model(plan, scenes, CheckpointStore(tmp_path / "short"))
    assert weights is not None
    at = expected.threshold
    again = evaluate_split(weights, scenes.test, scenes.prior, MeasureSpec(), at, training=training)
    assert expected.held_out is not None
    assert again.metrics == expected.held_out.metrics


def test_large_images_are_seen_in_windows_of_bounded_pixels(
    plan_of: Plans, model: Any, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    for split, sizes in {"train": [(64, 64)] * 4, "val": [(1100, 1000), (1100, 1000), (70, 64)]}.items():
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        for index, size in enumerate(sizes):
            mask = (random.random(size) < 0.1).astype(np.uint8)
            image = np.repeat(mask[..., None] * 100, 3, 2) + random.integers(0, 99, (*size, 3), np.uint8)
            for kind, pixels in (("images", image), ("masks", mask)):
                Image.fromarray(pixels).save(tmp_path / split / kind / f"{index}.png")
    spec = FolderSource(source="folder", root=str(tmp_path), classes=("background", "vehicle"), tile=64)
    data = load_data(spec, tmp_path / "cache")
    training = TrainingSpec(batch=4, precision="float32")
    plan = plan_of("cross_entropy @1e-2 x1", 1, model=MODEL, training=training, data=spec)
    store = CheckpointStore(tmp_path / "checkpoints")
    (found,) = train(plan, data, store)
    passes = [pixels for training, pixels in model.passes if not training and pixels > 64 * 64]
    assert max(passes) <= 2**20
    assert len(passes) == 2 * 2 + 1, "two windows of each large image, and the small one"
    weights = trained_model(plan, data, store)
    assert weights is not None
    whole = Meter(data.prior, plan.measure, "cpu")
    for batch in data.val.evaluation_batches(4, "cpu"):
        whole.update(weights(batch.images).detach(), batch.masks)
    for name, value in whole.compute().metrics.items():
        assert found.metrics[name] == pytest.approx(value, abs=1e-4), name
