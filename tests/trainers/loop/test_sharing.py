"""Trials of one seed train what they begin with alike once, and end as they would have from scratch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import TrainingSpec, TrialPlan

Plans = Callable[..., TrialPlan]

FIRST = "weighted_ce(power=0.5) @5e-3"
STUDY = (
    f"{FIRST} x3 -> jaccard @1e-3 x2",
    f"{FIRST} x1 -> jaccard @1e-3 x4",  # parts within the first phase of the one before
    f"{FIRST} x3 -> dice @1e-3 x2",
    f"{FIRST} until recall>=0.99 in 1..3 -> jaccard @1e-3 x1 -> dice @1e-3 x1",
    f"{FIRST} x3 -> jaccard @1e-3 x2",
)
"""In the order in which they are trained, and what each of them has to train itself."""
OWN = (5, 4, 2, 1, 0)
BY = ((), (0,), (0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0, 0))


def figures(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Evaluations without what a clock measured, and who trained them."""
    return [replace(e, seconds=0.0, images_per_second=0.0, spent={}, trained_by=None) for e in evaluations]


def test_what_is_shared_is_trained_once_and_equals_a_training_from_scratch(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    training = TrainingSpec(batch=4, precision="float32")
    shared = CheckpointStore(tmp_path / "shared")
    for number, line in enumerate(STUDY):
        plan = plan_of(line, 5, number, training=training, branch_epochs=frozenset({1, 3}))
        told = list(train(plan, scenes, shared))
        alone = CheckpointStore(tmp_path / str(number))
        assert figures(told) == figures(list(train(plan, scenes, alone)))
        assert tuple(e.trained_by for e in told if e.trained_by is not None) == BY[number]
        assert sum(e.trained_by is None for e in told) == OWN[number]
        assert all((e.seconds == 0.0) is (e.trained_by is not None) for e in told)
        first, second = (trained_model(plan, scenes, store) for store in (shared, alone))
        assert first is not None
        assert second is not None
        one, other = first.state_dict(), second.state_dict()
        assert all(torch.equal(one[name], other[name]) for name in one)
        again = list(train(plan, scenes, shared))
        assert again == told, "resumed, it says the same of who trained what"
