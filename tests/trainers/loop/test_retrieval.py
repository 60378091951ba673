"""What was trained before is found, whichever machine and micro-batch trained it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.loop import numerics
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.numerics import NAMES, Numerics
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import TrainingSpec, TrialPlan

Plans = Callable[..., TrialPlan]


def test_a_plan_knows_the_micro_batches_of_its_retries(plan_of: Plans) -> None:
    plan = plan_of("dice @1e-3 x1", 1, training=TrainingSpec(batch=6))
    assert plan.micro_batches == (None, 3, 1)
    assert replace(plan, micro_batch=4).micro_batches == (None, 4, 3, 1)


def test_a_retry_with_half_the_micro_batch_goes_on_and_its_weights_are_found(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    plan, store = plan_of("dice @1e-3 x3", 3), CheckpointStore(tmp_path)
    training = train(plan, scenes, store)
    before = [next(training), next(training)]
    training.close()  # as when the third epoch ran out of memory
    halved = plan.halved()
    assert halved is not None
    assert halved.micro_batch == 2
    again = list(train(halved, scenes, store))
    assert again[:2] == before, "recorded, not trained again"
    assert again[2].finished
    # The record of a trial doesn't say with which micro-batch it ended.
    model = trained_model(plan, scenes, store, again[2].step)
    assert model is not None
    fresh = train(replace(halved, number=1), scenes, CheckpointStore(tmp_path / "fresh"))
    assert list(fresh)[2].metrics != again[2].metrics, "it was trained from what the larger one had reached"
    # A plan with the whole batch is not gone on from what a smaller one trained.
    (*_, last) = train(plan, scenes, store)
    assert last.metrics != again[2].metrics


@pytest.mark.parametrize("trained_as", ["cuda bfloat16", "cuda float16", "cuda tf32", "mps float32"])
def test_a_machine_without_a_gpu_finds_the_weights_of_one_with(
    scenes: SegmentationData,
    plan_of: Plans,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained_as: str,
) -> None:
    plan, store = plan_of("dice @1e-3 x1", 1), CheckpointStore(tmp_path)
    with monkeypatch.context() as gpu:
        gpu.setattr(numerics.Numerics, "__str__", lambda self: trained_as)
        list(train(plan, scenes, store))
    assert trained_model(plan, scenes, store) is not None


def test_every_precision_has_a_name_that_is_looked_for() -> None:
    for precision in ("float32", "tf32", "bfloat16", "float16"):
        spec = TrainingSpec.model_validate({"precision": precision})
        assert str(Numerics.of(spec, torch.device("cpu"))) in NAMES
