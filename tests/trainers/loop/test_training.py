"""What a trial reports, how it switches, and how it ends."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.evaluation import Evaluation, realised
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.measurement import evaluate_split
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import OutOfMemory, train
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan
from lossweep.trainers.trial import SegmentationTrainer

Plans = Callable[..., TrialPlan]
OWN_MODEL = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, in_channels, classes, most=1000):
        super().__init__()
        self.most = most
        self.body = nn.Conv2d(in_channels, 8, 3, padding=1)
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, images):
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return self.head(torch.relu(self.body(images)))
"""


def test_an_evaluation_says_where_it_stands(scenes: SegmentationData, plan_of: Plans) -> None:
    line = "weighted_ce(power=0.5) @5e-3 x2 -> jaccard @1e-3 x1 | 2 cycles"
    evaluations = list(train(plan_of(line, 7), scenes))
    assert [e.epoch for e in evaluations] == [1, 2, 3, 4, 5, 6, 7]
    assert [e.step for e in evaluations] == [3, 6, 9, 12, 15, 18, 21]
    assert [e.phase for e in evaluations] == [0, 0, 1, 2, 2, 3, 3]
    assert [e.cycle for e in evaluations] == [0, 0, 0, 1, 1, 1, 1]
    assert [e.phase_ended for e in evaluations] == [False, True, True, False, True, False, True]
    assert [e.cycle_ended for e in evaluations] == [False, False, True, False, False, True, True]
    assert [e.finished for e in evaluations] == [False] * 6 + [True]
    assert [e.learning_rate for e in evaluations] == [5e-3, 5e-3, 1e-3, 5e-3, 5e-3, 1e-3, 1e-3]
    assert evaluations[0].loss_name == "weighted_ce(power=0.5)"
    assert evaluations[2].losses.keys() == {"jaccard", "total"}
    for evaluation in evaluations:
        assert evaluation.gradient_norm > 0
        assert evaluation.images_per_second > 0
        assert evaluation.seconds > 0
        assert all(map(math.isfinite, evaluation.metrics.values()))
        assert {"precision", "recall", "f1", "ap", "tuned_f1", "object_f1"} <= evaluation.metrics.keys()


def test_training_learns(scenes: SegmentationData, plan_of: Plans) -> None:
    *_, last = train(plan_of("weighted_ce(power=0.5) @1e-2 x20", 20, training=_rarely(20)), scenes)
    assert last.metrics["ap"] > 0.2, "twenty times the base rate of 1 %"


def _rarely(epochs: int) -> TrainingSpec:
    return TrainingSpec(batch=4, evaluate_every=epochs)


def test_evaluations_are_rare_where_asked_but_at_every_phases_end(
    scenes: SegmentationData, plan_of: Plans
) -> None:
    line = "cross_entropy @1e-3 x3 -> jaccard @1e-3 x2"
    evaluations = list(train(plan_of(line, 7, training=_rarely(4)), scenes))
    assert [e.epoch for e in evaluations] == [3, 4, 5, 7]


def test_a_phase_ends_by_metric_and_its_switch_is_recorded(scenes: SegmentationData, plan_of: Plans) -> None:
    line = "cross_entropy @1e-3 until ap>=0.0001 in 2..6 -> jaccard @1e-3 x1"
    evaluations = list(train(plan_of(line, 4, training=_rarely(10)), scenes))
    switches = realised(evaluations)
    assert [(s.phase, s.from_step, s.to_step, s.epochs) for s in switches] == [(0, 0, 6, 2), (1, 6, 12, 2)]


def test_going_back_is_recorded_as_a_phase_of_its_own(scenes: SegmentationData, plan_of: Plans) -> None:
    # A recall of 0.999 is never held in the second phase, so training goes back each time.
    line = "cross_entropy @1e-3 until recall>=1 in 1..1 back <0.999 -> jaccard @1e-6 x2"
    switches = realised(list(train(plan_of(line, 4), scenes)))
    assert [s.phase for s in switches] == [0, 1, 0, 1]


def test_the_learning_rate_follows_the_schedule(scenes: SegmentationData, plan_of: Plans) -> None:
    line = "cross_entropy @1e-2 x2 cosine warmup 2"
    evaluations = list(train(plan_of(line, 2), scenes))
    # Six steps, two of them warm-up; the last evaluation's rate is that of the last step.
    share = (5 - 2) / (6 - 2)
    expected = 1e-2 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
    assert evaluations[-1].learning_rate == pytest.approx(expected)


WATCHING = """
from lossweep.trainers.guards import Rule

seen = []

class Watching(Rule):
    def on_step(self, step):
        seen.append((step.loss, step.comparable))
"""


def test_each_step_has_the_ramp_s_value_and_guards_see_the_loss_on_one_scale(
    scenes: SegmentationData, plan_of: Plans, importable: Callable[[str, str], None]
) -> None:
    importable("ramp_watching", WATCHING)
    guards = GuardSpec.model_validate({"ramp_watching:Watching": {}})
    line = "1..4*jaccard + 2..8*dice @1e-3 x2"
    evaluations = list(train(plan_of(line, 3, guards=guards), scenes))
    import ramp_watching

    steps = len(ramp_watching.seen) // 3
    shares = [min(step / (2 * steps), 1.0) for step in range(3 * steps)]
    ratios = [loss / comparable for loss, comparable in ramp_watching.seen]
    assert ratios == pytest.approx([(1 + 3 * share) / 4 for share in shares], rel=1e-5)
    assert [evaluation.loss_name for evaluation in evaluations] == ["1..4*jaccard + 2..8*dice"] * 3


def test_compounds_report_each_term(scenes: SegmentationData, plan_of: Plans) -> None:
    (evaluation,) = train(plan_of("cross_entropy + 0.5*dice @1e-3 x1", 1), scenes)
    terms = {name: value for name, value in evaluation.losses.items() if name != "total"}
    assert terms.keys() == {"cross_entropy", "dice"}
    assert sum(terms.values()) == pytest.approx(evaluation.losses["total"], rel=1e-5)


def test_terms_over_maps_train_with_what_the_store_keeps(
    scenes: SegmentationData, plan_of: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a batch is passed in parts. Were a map missing in a step, it would be computed there."""
    monkeypatch.setattr("lossweep.trainers.losses.segmentation_loss.maps_of", None)
    line = "topk_ce(share=0.2) + soft_jaccard @1e-3 x1 -> dice + 0.01..1*boundary + skeleton_recall @1e-3 x1"
    first, second = train(replace(plan_of(line, 2), micro_batch=2), scenes)
    assert set(first.losses) == {"topk_ce", "soft_jaccard", "total"}
    assert set(second.losses) == {"dice", "boundary", "skeleton_recall", "total"}
    assert 0 < second.losses["skeleton_recall"] < 1
    assert second.losses["boundary"] > 0, "distances are positive but for a few pixels"


def test_own_model_and_own_loss(
    scenes: SegmentationData, plan_of: Plans, importable: Callable[[str, str], None]
) -> None:
    importable(
        "own_parts", OWN_MODEL + "\n\ndef halved(scale):\n    return lambda z, y: z.square().mean() * scale\n"
    )
    plan = plan_of("own_parts:halved(scale=0.5) @1e-2 x2", 2, model=ModelSpec(architecture="own_parts:Model"))
    first, second = train(plan, scenes)
    assert second.losses["total"] < first.losses["total"], "the user's loss pulls the logits to 0"


def test_a_compiled_model_trains_to_the_same_weights_by_the_same_names(
    scenes: SegmentationData,
    plan_of: Plans,
    importable: Callable[[str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    importable("own_compiled", OWN_MODEL)
    compile_, compiled = torch.compile, []

    def eager(model: nn.Module) -> object:
        compiled.append(model)
        return compile_(model, backend="eager")  # without a compiler, which a machine may lack

    monkeypatch.setattr(torch, "compile", eager)
    states = []
    for wanted in (False, True):
        training = TrainingSpec(batch=4, precision="float32", compile=wanted)
        plan = plan_of(
            "cross_entropy @1e-2 x1", 1, model=ModelSpec(architecture="own_compiled:Model"), training=training
        )
        store = CheckpointStore(tmp_path / str(wanted))
        list(train(plan, scenes, store))
        model = trained_model(plan, scenes, store)
        assert model is not None
        states.append(model.state_dict())
    assert len(compiled) == 1
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value)


def test_micro_batches_train_as_the_batch_does(
    scenes: SegmentationData, plan_of: Plans, importable: Callable[[str, str], None], tmp_path: Path
) -> None:
    importable("own_plain", OWN_MODEL)  # without batch normalization, which would see the difference
    training = TrainingSpec(batch=6, precision="float32")
    plan = plan_of(
        "cross_entropy @1e-2 x2", 2, model=ModelSpec(architecture="own_plain:Model"), training=training
    )
    trained = []
    for changed in (
        plan,
        replace(plan, micro_batch=4),  # 3 and 3
        replace(plan, micro_batch=1),
        replace(plan, training=training.model_copy(update={"batch": 2, "accumulate": 3})),
    ):
        store = CheckpointStore(tmp_path / str(len(trained)))
        list(train(changed, scenes, store))
        model = trained_model(changed, scenes, store)
        assert model is not None
        trained.append(nn.utils.parameters_to_vector(model.parameters()))
    for other in trained[1:]:
        torch.testing.assert_close(other, trained[0], rtol=1e-3, atol=1e-5)


def test_out_of_memory_is_an_outcome_with_a_way_on(
    scenes: SegmentationData, plan_of: Plans, importable: Callable[[str, str], None]
) -> None:
    importable("own_hungry", OWN_MODEL)
    model = ModelSpec(architecture="own_hungry:Model", options={"most": 2})
    plan = plan_of("cross_entropy @1e-3 x1", 1, model=model)
    with pytest.raises(OutOfMemory, match="no memory for 4 images") as caught:
        list(train(plan, scenes))
    assert caught.value.__context__ is None, "a chained traceback would hold on to the memory"
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.micro_batch) == (str(caught.value), 4)
    halved = plan.halved()
    assert halved is not None
    assert halved.micro_batch == 2
    (evaluation,) = train(halved, scenes)
    assert evaluation.step == 3, "as many steps of the same effective batch"
    assert replace(plan, micro_batch=1).halved() is None


def test_an_error_in_the_users_code_propagates(
    scenes: SegmentationData, plan_of: Plans, importable: Callable[[str, str], None]
) -> None:
    importable(
        "own_broken",
        "def broken():\n    def loss(z, y):\n        raise ArithmeticError('mine')\n    return loss\n",
    )
    with pytest.raises(ArithmeticError, match="mine"):
        list(train(plan_of("own_broken:broken @1e-3 x1", 1), scenes))


def test_a_metric_that_is_not_measured_is_named_before_training(
    scenes: SegmentationData, plan_of: Plans
) -> None:
    plan = plan_of("cross_entropy @1e-3 until fbeta_2>=0.5 in 1..2 -> jaccard @1e-3 x1", 3)
    with pytest.raises(UserError, match="fbeta_2"):
        next(train(plan, scenes))
    list(train(replace(plan, measure=MeasureSpec(betas=(2.0,))), scenes))


def test_non_finite_ends_the_trial_at_the_exact_step(
    scenes: SegmentationData, plan_of: Plans, importable: Callable[[str, str], None], tmp_path: Path
) -> None:
    importable(
        "own_late",
        """
class Late:
    steps = 0

    def __call__(self, logits, target):
        self.steps += 1
        return logits.square().mean() * (float("nan") if self.steps == 8 else 1.0)
""",
    )
    store = CheckpointStore(tmp_path)
    *before, last = train(plan_of("own_late:Late @1e-3 x9", 9), scenes, store)
    assert [e.verdict for e in before] == [None, None]
    assert last.verdict is not None
    assert (last.verdict.rule, last.verdict.step) == ("non_finite", 8)
    assert not last.finished
    assert last.epoch == 2
    assert last.step > before[-1].step
    assert last.metrics["recall"] == 0, "weights that are no numbers predict nothing"
    assert all(map(math.isfinite, last.metrics.values()))
    assert all(map(math.isfinite, last.losses.values()))
    assert max(len(checkpoint.history) for checkpoint in store.list()) == 2, "a diverged state is not kept"


def test_the_test_split_is_measured_at_thresholds_of_validation(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    plan, store = plan_of("weighted_ce(power=0.5) @1e-2 x3", 3), CheckpointStore(tmp_path)
    plan = replace(plan, measure=MeasureSpec(recall_floors=(0.8,)))
    *_, last = train(plan, scenes, store)
    model = trained_model(plan, scenes, store)
    assert model is not None
    val = evaluate_split(model, scenes.val, scenes.prior, plan.measure, training=plan.training)
    assert val.metrics == last.metrics, "the weights are those of the last evaluation"
    assert val.threshold == last.threshold
    assert val.floor_thresholds == last.floor_thresholds
    assert set(last.floor_thresholds) == {"precision_at_recall_0.8"}
    test = evaluate_split(
        model, scenes.test, scenes.prior, plan.measure, val.thresholds, training=plan.training
    )
    assert test.thresholds == val.thresholds


def test_a_trainer_travels_and_loads_once_a_process(plan_of: Plans, tmp_path: Path) -> None:
    plan = plan_of("cross_entropy @1e-3 x1", 1)
    trainer = SegmentationTrainer(plan.data, tmp_path / "cache", tmp_path / "checkpoints")
    trainer.prepare()
    travelled: SegmentationTrainer = pickle.loads(pickle.dumps(trainer))
    assert travelled == trainer
    assert travelled.data() is trainer.data()
    (evaluation,) = travelled.trial(plan)
    assert isinstance(evaluation, Evaluation)
    kept = train(plan, travelled.data(), CheckpointStore(tmp_path / "checkpoints"), lambda: True)
    assert list(kept) == [evaluation], "kept in the trainer's checkpoints"
