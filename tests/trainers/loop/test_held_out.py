"""The test split, read once by a trial that confirms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossweep.spaces.files.errors import LossweepError
from lossweep.trainers.data.crops.batches import Split
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop import epochs
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.measurement import evaluate_split
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import MeasureSpec, TrialPlan
from lossweep.trainers.scoring.objectives import ObjectiveSpec, score
from lossweep.trainers.scoring.operating_points import held_out_metric

Plans = Callable[..., TrialPlan]
BALANCED = ObjectiveSpec(use_case="balanced")
LINE = "weighted_ce(power=0.5) @5e-3 x2 -> jaccard @1e-3 x1 | 2 cycles"


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each split that was gone through."""
    seen: list[int] = []
    batches = Split.evaluation_batches

    def counted(self: Split, *args: Any, **kwargs: Any) -> Any:
        seen.append(len(self))
        return batches(self, *args, **kwargs)

    monkeypatch.setattr(Split, "evaluation_batches", counted)
    return seen


def test_only_a_trial_that_confirms_reads_it_and_only_at_its_end(
    tmp_path: Path, scenes: SegmentationData, plan_of: Plans, passes: list[int]
) -> None:
    assert len(scenes.test) != len(scenes.val)
    plain = list(train(plan_of(LINE, 6), scenes))
    assert passes == [len(scenes.val)] * 6
    assert all(evaluation.held_out is None for evaluation in plain)
    passes.clear()
    confirming = list(train(plan_of(LINE, 6, held_out=BALANCED), scenes, CheckpointStore(tmp_path)))
    assert passes == [len(scenes.val)] * 6 + [len(scenes.test)]
    assert [evaluation.held_out is not None for evaluation in confirming] == [False] * 5 + [True]
    # Reading it changes nothing of the training.
    assert [e.metrics for e in confirming] == [e.metrics for e in plain]


def test_it_is_measured_with_the_scored_weights_at_validations_threshold(
    tmp_path: Path, scenes: SegmentationData, plan_of: Plans
) -> None:
    store = CheckpointStore(tmp_path)
    for seed in range(6):  # of some seeds the best cycle is not the last one
        plan = plan_of(LINE, 6, seed=seed, held_out=BALANCED)
        evaluations = list(train(plan, scenes, store))
        taken = score(BALANCED, evaluations)
        assert taken is not None
        found = evaluations[-1].held_out
        assert found is not None
        assert found.step == taken.evaluation.step
        assert found.thresholds == (taken.evaluation.threshold,)
        model = trained_model(plan, scenes, store, taken.evaluation.step)
        assert model is not None
        again = evaluate_split(
            model, scenes.test, scenes.prior, plan.measure, found.thresholds, training=plan.training
        )
        assert found.metrics == dict(again.metrics)
        assert (found.metric, found.score) == ("tuned_f1", again.metrics["tuned_f1"])
        hits, alarms, misses = (sum(image[0][k] for image in found.pixels) for k in range(3))
        assert len(found.pixels) == len(found.objects) == len(scenes.test)
        assert found.score == pytest.approx(2 * hits / max(2 * hits + alarms + misses, 1))
        hits, alarms, misses = (sum(image[0][k] for image in found.objects) for k in range(3))
        assert found.metrics["tuned_object_f1"] == pytest.approx(
            2 * hits / max(2 * hits + alarms + misses, 1)
        )


def test_a_resumed_trial_tells_what_was_read_and_reads_nothing_again(
    tmp_path: Path, scenes: SegmentationData, plan_of: Plans, passes: list[int]
) -> None:
    plan = plan_of(LINE, 6, held_out=BALANCED)
    first = list(train(plan, scenes, CheckpointStore(tmp_path)))
    passes.clear()
    again = list(train(plan, scenes, CheckpointStore(tmp_path)))
    assert passes == []
    assert again == first
    assert Evaluation.from_dict(first[-1].to_dict()) == first[-1]


def test_another_arm_of_the_same_beginning_does_not_inherit_it(
    tmp_path: Path, scenes: SegmentationData, plan_of: Plans
) -> None:
    """Arms of one seed share what they train alike; a reading is of a whole training."""
    store = CheckpointStore(tmp_path)
    list(train(plan_of("dice @1e-3 x2", 2, held_out=BALANCED), scenes, store))
    longer = list(
        train(plan_of("dice @1e-3 x2 -> jaccard @1e-3 x2", 4, number=1, held_out=BALANCED), scenes, store)
    )
    assert [evaluation.held_out is not None for evaluation in longer] == [False, False, False, True]


def test_weights_that_are_gone_are_said(
    tmp_path: Path, scenes: SegmentationData, plan_of: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "trained_model", lambda *args: None)
    plans = [plan_of(LINE, 6, seed=seed, held_out=BALANCED) for seed in range(8)]
    store = CheckpointStore(tmp_path)
    with pytest.raises(LossweepError, match="by which trial 0 scores, are gone"):
        _ = [list(train(plan, scenes, store)) for plan in plans]


@pytest.mark.parametrize(
    ("metric", "stands_for_it"),
    [
        ("tuned_f1", "tuned_f1"),
        ("ap", "ap"),
        ("f1", "f1"),
        ("fbeta_2", "fbeta_2"),
        ("max_f1", "tuned_f1"),
        ("recall_at_precision_0.2", "tuned_recall"),
        ("precision_at_recall_0.5/vehicle", "tuned_precision/vehicle"),
        ("tuned_object_f1", "tuned_object_f1"),
    ],
)
def test_no_figure_is_tuned_on_the_test_split(metric: str, stands_for_it: str) -> None:
    assert held_out_metric(metric) == stands_for_it


def test_a_floor_metric_is_read_at_validations_threshold(
    tmp_path: Path, scenes: SegmentationData, plan_of: Plans
) -> None:
    needle = ObjectiveSpec(use_case="needle", floor=0.05)
    plan = plan_of(
        "weighted_ce(power=0.5) @5e-3 x2", 2, held_out=needle, measure=MeasureSpec(precision_floors=(0.05,))
    )
    last = list(train(plan, scenes, CheckpointStore(tmp_path)))[-1]
    assert last.held_out is not None
    taken = score(needle, [last])
    assert taken is not None
    assert last.held_out.thresholds[0] == taken.evaluation.floor_thresholds["recall_at_precision_0.05"]
    assert last.held_out.score == last.held_out.metrics["tuned_recall"]
