"""Reports of trainings: resuming, rates, batches of one, seeds of workers, losses that are not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.losses.terms import CrossEntropy
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.callbacks import ScheduledLoss
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards import build_guards
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.optimization import Optimization
from lossweep.trainers.loop.rehearsal import rehearse_model
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.losses import build_loss
from lossweep.trainers.plan import ModelSpec, TrainingSpec, TrialPlan
from tests.trainers.conftest import Plans, plan_of, scenes  # noqa: F401  (fixtures)


@pytest.fixture(scope="module")
def runs(
    scenes: SegmentationData,  # noqa: F811
    plan_of: Plans,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> list[tuple[list[Evaluation], dict[str, torch.Tensor]]]:
    """The same trial in one go, and stopped in the middle of its cosine and resumed."""
    root = tmp_path_factory.mktemp("runs")
    training = TrainingSpec(batch=4, precision="float32")
    plan: TrialPlan = plan_of("cross_entropy @5e-3 x3 cosine warmup 2", 3, training=training)
    ended = []
    for name, cut in (("whole", 0), ("resumed", 2)):
        store = CheckpointStore(root / name)
        if cut:
            first = train(plan, scenes, store)
            for _ in range(cut):
                next(first)
            first.close()
        evaluations = list(train(plan, scenes, store))
        model = trained_model(plan, scenes, store)
        assert model is not None
        ended.append((evaluations, model.state_dict()))
    return ended


Runs = list[tuple[list[Evaluation], dict[str, torch.Tensor]]]


def test_a_resumed_training_has_its_optimizer_s_moments(runs: Runs) -> None:
    (_, whole), (_, resumed) = runs
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


def test_a_resumed_cosine_goes_on_where_it_was(runs: Runs) -> None:
    (whole, _), (resumed, _) = runs
    rates = [evaluation.learning_rate for evaluation in whole]
    assert rates == sorted(rates, reverse=True)
    assert rates == [evaluation.learning_rate for evaluation in resumed]
    assert [e.losses for e in whole] == [e.losses for e in resumed]


def test_past_its_end_a_cosine_stays_down(two: ClassPrior) -> None:
    scheduled = ScheduledLoss(LossSchedule.parse("cross_entropy @1e-2 x1 cosine"), two)
    last = scheduled.at(0, 3, 4)[1]
    beyond = [scheduled.at(epoch, step, 4)[1] for epoch in (1, 2, 7) for step in range(4)]
    assert beyond == pytest.approx([1e-4] * 12)
    assert max(beyond) < last


def test_a_batch_of_one_that_can_t_be_normalized_is_said_before_the_start(two: ClassPrior) -> None:
    deeplab, one = ModelSpec(architecture="DeepLabV3"), TrainingSpec(batch=1)
    with pytest.raises(UserError, match="give it a batch of 2 or more"):
        rehearse_model(deeplab, one, two, 3, 64)


def test_a_model_that_ends_in_a_sigmoid_is_refused(two: ClassPrior) -> None:
    spec = ModelSpec(options={"activation": "sigmoid"})
    with pytest.raises(UserError, match=r"model\.options\.activation.*leave activation out"):
        rehearse_model(spec, TrainingSpec(batch=2), two, 3, 64)


def test_augmentation_differs_by_epoch_and_repeats_by_seed(scenes: SegmentationData) -> None:  # noqa: F811
    def epoch(seed: int, number: int) -> torch.Tensor:
        return torch.cat([batch.images for batch in scenes.train.training_batches(seed, number, 4, "cpu")])

    assert torch.equal(epoch(3, 0), epoch(3, 0))
    assert not torch.equal(epoch(3, 0), epoch(3, 1))
    assert not torch.equal(epoch(3, 0), epoch(4, 0))


def test_parts_of_a_batch_count_by_their_images(two: ClassPrior) -> None:
    """Five images in parts of two: the last part holds one, and weighs a fifth."""

    def step(micro_batch: int) -> torch.Tensor:
        torch.manual_seed(0)
        spec = TrainingSpec(optimizer="sgd", momentum=0.0, weight_decay=0.0, precision="float32")
        numerics = Numerics.of(spec, "cpu")
        model = numerics.place(nn.Conv2d(3, 1, 1))
        trained = Optimization(model, spec, numerics, micro_batch)
        images = torch.randn(5, 3, 8, 8)
        trained.step(images, (images[:, 0] > 1.0).to(torch.uint8), build_loss(CrossEntropy(), two), 1.0)
        return torch.cat([weights.detach().flatten() for weights in trained.model.parameters()])

    torch.testing.assert_close(step(2), step(5), rtol=1e-5, atol=1e-6)


def test_a_loss_that_is_not_finite_stops_the_trial(two: ClassPrior) -> None:
    watch = build_guards(GuardSpec(), two)
    watch.phase_started(0)
    verdicts = [watch.on_step(step, math.nan, 1.0, skipped=False) for step in range(1, 200)]
    verdict = next(verdict for verdict in verdicts if verdict is not None)
    assert verdict.rule == "non_finite"
    assert verdict.step <= 50


def test_a_model_that_predicts_only_background_is_stopped_with_its_figures(
    runs: Runs, two: ClassPrior
) -> None:
    (evaluations, _), _ = runs
    figures = {"recall": 0.0, "precision": 0.0, "ap": 0.1, "f1": 0.0, "tuned_f1": 0.2}
    watch: Callable[[Evaluation], object] = build_guards(GuardSpec(), two).on_evaluation
    empty = [
        replace(evaluations[0], step=1000 + step, metrics={**evaluations[0].metrics, **figures})
        for step in range(20)
    ]
    verdict = next(verdict for verdict in map(watch, empty) if verdict is not None)
    assert getattr(verdict, "rule", "") in ("all_background", "ap_collapse")


def test_a_trial_is_the_same_whatever_was_trained_before_it(
    scenes: SegmentationData,  # noqa: F811
    plan_of: Plans,  # noqa: F811
    tmp_path: Path,
) -> None:
    plan = plan_of("cross_entropy @5e-3 x1", 1, training=TrainingSpec(batch=4, precision="float32"))
    (first,) = train(plan, scenes, CheckpointStore(tmp_path / "first"))
    torch.rand(100)
    list(train(plan_of("jaccard @1e-3 x1", 1, number=1, seed=9), scenes))
    (second,) = train(plan, scenes, CheckpointStore(tmp_path / "second"))
    assert first.metrics == second.metrics
    assert first.losses == second.losses
