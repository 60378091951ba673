"""Losses that ask for maps in training: cut from the store, in micro-batches, resumed bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.losses import segmentation_loss
from lossweep.trainers.plan import TrialPlan

Plans = Callable[..., TrialPlan]
LINE = "cross_entropy + per_object(dice) @1e-3 x1 -> per_object(focal(gamma=0..2), way=blobs) @1e-3 x1"


@pytest.fixture(autouse=True)
def _from_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("computed from a batch's masks")

    monkeypatch.setattr(segmentation_loss, "maps_of", refuse)


def weights(plan: TrialPlan, scenes: SegmentationData, store: CheckpointStore) -> dict[str, torch.Tensor]:
    model = trained_model(plan, scenes, store)
    assert model is not None
    return model.state_dict()


def test_a_trial_stopped_at_each_evaluation_goes_on_bit_for_bit(
    plan_of: Plans, scenes: SegmentationData, tmp_path: Path
) -> None:
    plan = plan_of(LINE, 2)
    whole, parts = CheckpointStore(tmp_path / "whole"), CheckpointStore(tmp_path / "parts")
    expected = [each.metrics for each in train(plan, scenes, whole)]
    next(train(plan, scenes, parts))  # and stopped
    assert [each.metrics for each in train(plan, scenes, parts)] == expected
    for name, value in weights(plan, scenes, whole).items():
        assert torch.equal(value, weights(plan, scenes, parts)[name])


def test_micro_batches_have_the_maps_of_their_crops(plan_of: Plans, scenes: SegmentationData) -> None:
    plan = plan_of("per_object(jaccard, reduction=image) @1e-3 x1", 1)
    small = replace(plan, micro_batch=2)
    for each in (plan, small):
        (evaluation,) = train(each, scenes)
        assert evaluation.losses["per_object"] > 0
