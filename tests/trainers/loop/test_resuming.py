"""Bit for bit on a CPU: in one go, resumed at any evaluation, begun from another's prefix, beside others."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.data.spec import Augmentation, ScenesSource
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.measurement import evaluate_split
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.prefix import context_key
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import ModelSpec, TrainingSpec, TrialPlan

Plans = Callable[..., TrialPlan]

CYCLES = "weighted_ce(power=0.5) @5e-3 x2 -> jaccard @1e-3 x1 fresh | 2 cycles"
UNTIL = (
    "weighted_ce(power=0.5) @5e-3 until recall>=0.3 in 1..3 back <0.05 -> jaccard @1e-3 x1 cosine warmup 2"
    " | 3 cycles"
)
BACK = (
    "weighted_ce(power=1.0) @1e-2 until recall>=0.7 in 1..3 back <0.69"
    " -> cross_entropy @1e-2 x1 cosine warmup 5"
    " | 3 cycles"
)
UNFLIPPED = ScenesSource(source="scenes", tile=64, train=12, val=6, test=4, augment=Augmentation(flip=False))
DROPOUT = """
from torch import nn

def model(in_channels, classes, width=8):
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout2d(0.3),
        nn.Conv2d(width, classes, 1),
    )
"""


def figures(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Evaluations without what a clock measured, and who trained them."""
    return [replace(e, seconds=0.0, images_per_second=0.0, spent={}, trained_by=None) for e in evaluations]


def weights(plan: TrialPlan, data: SegmentationData, store: CheckpointStore) -> dict[str, Tensor]:
    model = trained_model(plan, data, store)
    assert model is not None
    return model.state_dict()


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


@pytest.mark.slow
def test_resumed_at_every_evaluation(scenes: SegmentationData, plan_of: Plans, tmp_path: Path) -> None:
    plan = plan_of(CYCLES, 5, training=TrainingSpec(batch=4, precision="float32"))
    whole = CheckpointStore(tmp_path / "whole")
    expected = list(train(plan, scenes, whole))
    assert expected[-1].finished
    for count in range(1, len(expected)):
        store = CheckpointStore(tmp_path / str(count))
        first = train(plan, scenes, store)
        before = [next(first) for _ in range(count)]
        first.close()
        resumed = list(train(plan, scenes, store))
        assert resumed[:count] == before  # what was recorded comes first, clocks and all
        assert figures(resumed) == figures(expected)
        assert_same(weights(plan, scenes, store), weights(plan, scenes, whole))


@pytest.mark.parametrize(
    ("line", "training", "path"),
    [
        # By metric: on at recall, back when the second phase lost it, warmed up over more than an epoch.
        (BACK, TrainingSpec(batch=4, precision="float32"), [0, 0, 1, 2, 2, 3, 2]),
        (
            "weighted_ce(power=0.5) @5e-2 x2 warmup 5 -> jaccard @1e-2 x2 fresh cosine | 2 cycles",
            TrainingSpec(batch=2, accumulate=3, precision="float32", optimizer="sgd"),
            [0, 0, 1, 1, 2, 2],
        ),
        (
            UNTIL,
            TrainingSpec(batch=4, precision="bfloat16", optimizer="sgd", clip_norm=None, evaluate_every=2),
            [0, 0, 0, 1, 0, 0],
        ),
        # Linear, along a cosine, cut short by a metric, and beyond its end in the last phase.
        (
            "0.01..1*dice + cross_entropy @1e-2 x2 -> focal(gamma=cosine(0..2), alpha=0.9..0.5) @5e-3"
            " until recall>=0.05 in 1..3 -> weighted_ce(power=1..0) @1e-3 x1",
            TrainingSpec(batch=4, precision="float32"),
            [0, 0, 1, 2, 2],
        ),
    ],
    ids=["back-by-metric", "accumulated-sgd-fresh", "until-bfloat16-sgd", "ramps"],
)
def test_resumed_after_each_evaluation_in_turn(
    line: str,
    training: TrainingSpec,
    path: list[int],
    scenes: SegmentationData,
    plan_of: Plans,
    tmp_path: Path,
) -> None:
    """One trial in as many processes as it has evaluations, each knowing only the checkpoints."""
    plan = plan_of(line, len(path), training=training)
    whole, parts = CheckpointStore(tmp_path / "whole"), CheckpointStore(tmp_path / "parts")
    expected = list(train(plan, scenes, whole))
    assert [evaluation.phase for evaluation in expected] == path, "it switches where this test means it to"
    for count in range(1, len(expected) + 1):
        part = train(plan, scenes, parts)
        told = [next(part) for _ in range(count)]
        part.close()
    assert figures(told) == figures(expected)
    assert_same(weights(plan, scenes, parts), weights(plan, scenes, whole))


def test_stopped_within_an_epoch_and_resumed(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path, importable: Callable[[str, str], None]
) -> None:
    importable("dropout_model", DROPOUT)
    plan = plan_of(CYCLES, 4, model=ModelSpec(architecture="dropout_model:model", options={"width": 4}))
    whole = CheckpointStore(tmp_path / "whole")
    expected = list(train(plan, scenes, whole))
    store = CheckpointStore(tmp_path / "parts")
    asked = iter(range(1000))
    # Stopped at every fifth step, again and again, until it is through.
    for _ in range(20):
        evaluations = list(train(plan, scenes, store, lambda: next(asked) % 5 == 4))
        if evaluations and evaluations[-1].finished:
            break
    assert figures(evaluations) == figures(expected)
    assert_same(weights(plan, scenes, store), weights(plan, scenes, whole))


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (CYCLES, "weighted_ce(power=0.5) @5e-3 x2 -> jaccard @1e-3 x1 fresh -> dice @1e-3 x1"),
        (CYCLES, "weighted_ce(power=0.5) @5e-3 x2 -> jaccard @1e-3 x1 fresh | 4 cycles"),
        # A phase's first epochs are the same whether it then ends or goes on, if it is evaluated in between.
        ("weighted_ce(power=0.5) @5e-3 x2", "weighted_ce(power=0.5) @5e-3 x4"),
        (UNTIL, UNTIL.replace("1e-3", "1e-4")),
    ],
)
def test_started_from_another_trials_prefix(
    other: str, line: str, scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    store, alone = CheckpointStore(tmp_path / "shared"), CheckpointStore(tmp_path / "alone")
    plan = plan_of(line, 5, number=1)
    for _ in train(plan_of(other, 3, number=0), scenes, store):
        pass
    shared, expected = list(train(plan, scenes, store)), list(train(plan, scenes, alone))
    assert shared[0].seconds == 0.0, "nothing was shared"
    assert shared[-1].seconds > 0.0, "nothing was trained"
    assert figures(shared) == figures(expected)
    assert_same(weights(plan, scenes, store), weights(plan, scenes, alone))


def test_what_forgets_at_a_switch_and_what_does_not_share_what_was_before(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    store, alone = CheckpointStore(tmp_path / "shared"), CheckpointStore(tmp_path / "alone")
    list(train(plan_of(CYCLES, 3, number=0), scenes, store))
    plan = plan_of(CYCLES.replace(" fresh", ""), 3, number=1)
    shared, expected = list(train(plan, scenes, store)), list(train(plan, scenes, alone))
    assert [evaluation.seconds > 0.0 for evaluation in shared] == [False, False, True]
    assert figures(shared) == figures(expected)
    assert_same(weights(plan, scenes, store), weights(plan, scenes, alone))


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (CYCLES.replace("5e-3", "4e-3"), {}),
        (CYCLES.replace("x2", "x2 cosine"), {}),
        (CYCLES.replace("0.5", "0.5..0.4"), {}),
        (CYCLES, {"seed": 8}),
        (CYCLES, {"training": TrainingSpec(batch=4, weight_decay=0.0)}),
        (CYCLES, {"micro_batch": 2}),
        (CYCLES, {"data": UNFLIPPED}),
    ],
)
def test_what_trains_otherwise_shares_nothing(
    line: str, changes: dict[str, object], scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path)
    list(train(plan_of(CYCLES, 1), scenes, store))
    assert next(train(plan_of(line, 1, number=1, **changes), scenes, store)).seconds > 0.0


def test_same_result_whatever_runs_beside_it(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path, importable: Callable[[str, str], None]
) -> None:
    importable("dropout_beside", DROPOUT)
    plan = plan_of(CYCLES, 3, model=ModelSpec(architecture="dropout_beside:model"))
    alone, beside = CheckpointStore(tmp_path / "alone"), CheckpointStore(tmp_path / "beside")
    expected = list(train(plan, scenes, alone))
    other = train(replace(plan, seed=99), scenes)
    evaluations = []
    torch.manual_seed(3)
    for evaluation in train(plan, scenes, beside):
        evaluations.append(evaluation)
        random.seed(1)
        np.random.seed(2)
        torch.rand(5)
        torch.set_num_threads(2)
        next(other, None)
    assert torch.get_num_threads() == 2
    assert figures(evaluations) == figures(expected)
    assert_same(weights(plan, scenes, beside), weights(plan, scenes, alone))


def test_training_leaves_the_processs_random_numbers_alone(scenes: SegmentationData, plan_of: Plans) -> None:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    list(train(plan_of(CYCLES, 1), scenes))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]
    assert not torch.are_deterministic_algorithms_enabled()


def test_another_seed_gives_another_result(scenes: SegmentationData, plan_of: Plans) -> None:
    first, second = (list(train(plan_of(CYCLES, 1, seed=seed), scenes)) for seed in (1, 2))
    assert first[0].losses != second[0].losses


def test_a_finished_trial_is_only_told_again(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = plan_of(CYCLES, 2), CheckpointStore(tmp_path)
    first = list(train(plan, scenes, store))
    monkeypatch.setattr("lossweep.trainers.loop.epochs.build_model", None)
    assert list(train(plan, scenes, store)) == first


def test_a_torn_newest_checkpoint_gives_way_to_the_one_before(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    plan, store = plan_of(CYCLES, 4), CheckpointStore(tmp_path)
    expected = list(train(plan, scenes, store))
    newest = max(store.list(), key=lambda checkpoint: len(checkpoint.history))
    content = newest.path.read_bytes()
    newest.path.write_bytes(content[: len(content) // 2])
    resumed = list(train(plan, scenes, store))
    assert figures(resumed) == figures(expected)
    assert resumed[-1].seconds != expected[-1].seconds, "the last epoch was trained again"
    assert len(store.list()[-1].history) == 4


def test_what_an_earlier_version_trained_is_read_and_not_gone_on_from(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    plan, store = plan_of("jaccard @1e-3 x2", 2), CheckpointStore(tmp_path)
    expected = list(train(plan, scenes, store))
    surroundings = scenes.fingerprint, str(Numerics.of(plan.training)), torch.__version__
    before = context_key(plan, *surroundings, version=1)
    (tmp_path / context_key(plan, *surroundings)).rename(tmp_path / before)
    model = trained_model(plan, scenes, store)
    assert model is not None
    again = evaluate_split(model, scenes.val, scenes.prior, plan.measure, training=plan.training)
    assert again.metrics == expected[-1].metrics
    assert list(train(plan, scenes, store))[-1].seconds != expected[-1].seconds, "it was trained again"
