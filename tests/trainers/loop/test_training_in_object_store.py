"""Training that keeps its checkpoints in an object store goes on from them wherever it is taken up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.object_path import ObjectPath
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import TrainingSpec, TrialPlan
from tests.trainers.loop.test_resuming import figures


def test_a_trial_goes_on_elsewhere_and_another_begins_from_its_prefix(
    scenes: SegmentationData, plan_of: Callable[..., TrialPlan], object_store_url: str
) -> None:
    line = "weighted_ce(power=0.5) @5e-3 x2 -> jaccard @1e-3 x1"
    plan = plan_of(line, 3, training=TrainingSpec(batch=4, precision="float32"))
    expected = list(train(plan, scenes, None))
    first = train(plan, scenes, CheckpointStore(object_store_url))
    before = [next(first) for _ in range(2)]
    first.close()
    elsewhere = CheckpointStore(object_store_url)
    assert isinstance(elsewhere.folder, ObjectPath)
    resumed = list(train(plan, scenes, elsewhere))
    assert resumed[:2] == before
    assert figures(resumed) == figures(expected)
    assert trained_model(plan, scenes, elsewhere, expected[-1].step) is not None
    other = plan_of(line.replace("jaccard", "dice"), 3, number=1, training=plan.training)
    evaluations = list(train(replace(other, seed=plan.seed), scenes, elsewhere))
    assert [each.seconds == 0.0 for each in evaluations] == [True, True, False], "two epochs were another's"
