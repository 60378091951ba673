"""Training goes on while a checkpoint is written, and nothing is told before it is kept."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop.checkpoints import CheckpointDiskFull, CheckpointStore
from lossweep.trainers.loop.outbox import Outbox
from lossweep.trainers.loop.prefix import TrainedEpoch
from lossweep.trainers.loop.training import train
from lossweep.trainers.loop.wall_time import CHECKPOINT, EVALUATION, PARTS, TRAINING, WAITING, WallTime
from lossweep.trainers.plan import ModelSpec, TrialPlan
from tests.dying import die_at, run_until_killed
from tests.trainers.loop.test_resuming import DROPOUT, assert_same, figures, weights

Plans = Callable[..., TrialPlan]
LINE = "weighted_ce(power=0.5) @5e-3 x2 -> jaccard @1e-3 x1 fresh | 2 cycles"
STEPS = 3
"""Of an epoch of the small scenes."""


class SlowStore(CheckpointStore):
    """Writes no checkpoint before training went on by some steps, where it goes on.

    Give `stepped` to the training as its ``should_stop``.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__(folder)
        self.steps = self.under_way = self.most_under_way = 0
        self._wait_for = steps
        self._moved = threading.Condition()

    def save(self, context: str, history: Sequence[TrainedEpoch], state: Mapping[str, Any]) -> Path:
        with self._moved:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            wanted = len(history) * STEPS + self._wait_for
            last = history[-1].evaluation is not None and history[-1].evaluation.finished
            if not last:
                assert self._moved.wait_for(lambda: self.steps >= wanted, timeout=60)
            path = super().save(context, history, state)
            self.under_way -= 1
        return path

    def stepped(self) -> bool:
        with self._moved:
            self.steps += 1
            self._moved.notify_all()
        return False

    @property
    def epochs(self) -> list[int]:
        """Of the whole files on the disk."""
        return sorted(len(checkpoint.history) for checkpoint in self.list())


@pytest.mark.parametrize("steps", [1, STEPS - 1, STEPS])
def test_training_goes_on_while_a_checkpoint_is_written(
    steps: int,
    scenes: SegmentationData,
    plan_of: Plans,
    tmp_path: Path,
    importable: Callable[[str, str], None],
) -> None:
    """To the same weights: the pause in which an evaluation is told falls between any two steps."""
    importable("dropout_slow", DROPOUT)
    plan = plan_of(LINE, 5, model=ModelSpec(architecture="dropout_slow:model", options={"width": 4}))
    at_once, slow = CheckpointStore(tmp_path / "at once"), SlowStore(tmp_path / "slow", steps)
    expected = list(train(plan, scenes, at_once))
    told = []
    for evaluation in train(plan, scenes, slow, slow.stepped):
        told.append(evaluation)
        assert evaluation.epoch in slow.epochs, "it is kept before it is told"
        if not evaluation.finished:
            assert slow.steps >= evaluation.step + steps, "nothing was trained meanwhile"
        torch.rand(3)  # whoever steps a training draws numbers of its own
    assert figures(told) == figures(expected)
    assert slow.most_under_way == 1
    assert_same(weights(plan, scenes, slow), weights(plan, scenes, at_once))


def test_one_that_is_ended_in_mid_epoch_is_resumed_to_the_same_weights(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    plan = plan_of(LINE, 3)
    whole, slow = CheckpointStore(tmp_path / "whole"), SlowStore(tmp_path / "slow", 2)
    expected = list(train(plan, scenes, whole))
    first = train(plan, scenes, slow, slow.stepped)
    next(first)
    first.close()
    assert slow.epochs == [1]
    assert figures(list(train(plan, scenes, CheckpointStore(slow.folder)))) == figures(expected)
    assert_same(weights(plan, scenes, slow), weights(plan, scenes, whole))


def train_until_killed(plan: TrialPlan, folder: Path, when: str) -> None:
    """In a process of its own: die in the midst of the third file, and note what was told before."""
    torch.set_num_threads(1)
    scenes = load_data(plan.data, folder / "cache")
    die_at(Path, "replace", 3, when)
    with (folder / "told").open("w") as told:
        for evaluation in train(plan, scenes, CheckpointStore(folder / "store")):
            print(evaluation.epoch, file=told, flush=True)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_a_thread_writes(
    when: str, scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    plan, whole = plan_of(LINE, 5), CheckpointStore(tmp_path / "whole")
    expected = list(train(plan, scenes, whole))
    run_until_killed(train_until_killed, plan, tmp_path, when)
    store = CheckpointStore(tmp_path / "store")
    kept = max(len(checkpoint.history) for checkpoint in store.list())
    assert kept == (2 if when == "before" else 3), "the old one is whole, or the new one"
    assert (tmp_path / "told").read_text().split() == ["1", "2"], "what was told is kept"
    assert figures(list(train(plan, scenes, store))) == figures(expected)
    assert_same(weights(plan, scenes, store), weights(plan, scenes, whole))


def test_a_full_disk_is_said_instead_of_the_evaluation(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = train(plan_of("cross_entropy @1e-3 x4", 4), scenes, CheckpointStore(tmp_path))
    first = next(stream)

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(CheckpointDiskFull, match="no room for a checkpoint"):
            next(stream)
    assert list(stream) == [], "the training is over"
    again = list(train(plan_of("cross_entropy @1e-3 x4", 4), scenes, CheckpointStore(tmp_path)))
    assert again[0] == first
    assert [evaluation.epoch for evaluation in again] == [1, 2, 3, 4]


def test_what_was_measured_is_told_before_what_went_wrong_after_it(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path, importable: Callable[[str, str], None]
) -> None:
    importable(
        "own_fifth",
        """
class Fifth:
    steps = 0

    def __call__(self, logits, target):
        self.steps += 1
        if self.steps == 5:
            raise ArithmeticError("mine")
        return logits.square().mean()
""",
    )
    store = SlowStore(tmp_path, 2)
    stream = train(plan_of("own_fifth:Fifth @1e-3 x4", 4), scenes, store, store.stepped)
    assert next(stream).epoch == 1
    assert store.steps == 5
    assert store.epochs == [1]
    with pytest.raises(ArithmeticError, match="mine"):
        next(stream)


def test_what_was_measured_is_told_when_training_is_to_stop(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    store = SlowStore(tmp_path, 2)
    plan = plan_of("cross_entropy @1e-3 x4", 4)
    stream = train(plan, scenes, store, lambda: store.stepped() or store.steps == STEPS + 2)
    assert [evaluation.epoch for evaluation in stream] == [1]
    assert store.epochs == [1]


def test_it_says_what_the_seconds_went_to(scenes: SegmentationData, plan_of: Plans, tmp_path: Path) -> None:
    first, *others = train(plan_of("cross_entropy @1e-3 x3", 3), scenes, CheckpointStore(tmp_path))
    assert {TRAINING, EVALUATION} <= first.spent.keys() <= set(PARTS)
    assert first.used["cores"] > 0.0
    assert first.used["memory_mib"] > 10.0
    for each in others:
        assert {TRAINING, EVALUATION, CHECKPOINT, WAITING} <= each.spent.keys() <= set(PARTS)
        assert all(seconds >= 0 for seconds in each.spent.values())
        assert sum(each.spent.values()) == pytest.approx(each.seconds)
        assert each.images_per_second * each.spent[TRAINING] <= 12 + 1e-6, "it is a figure of training alone"


def test_without_a_store_an_evaluation_is_ready_at_once() -> None:
    evaluation = Evaluation(1, 1, 1, 0, 0, "dice", 1e-3, {"ap": 0.5})
    with Outbox(None, "context", WallTime()) as outbox:
        assert not outbox.ready
        assert list(outbox.handed_out()) == []
        outbox.put(evaluation, (), {})
        assert outbox.ready
        assert list(outbox.handed_out()) == [evaluation]
        assert not outbox.ready
