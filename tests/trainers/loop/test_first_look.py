"""Losses before training: rejected where they cannot be learned by, compared by their gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from math import dist
from pathlib import Path

import numpy as np
import pytest
import torch

from lossweep.spaces.losses.catalog import catalog
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.evaluation import Evaluation, RehearsedLoss
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.first_look import IMAGES, rehearsal, rehearsed_losses
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.training import train
from lossweep.trainers.losses import build_loss
from lossweep.trainers.models import build_model
from lossweep.trainers.plan import TrainingSpec, TrialPlan

Plans = Callable[..., TrialPlan]
CPU = Numerics.of(TrainingSpec(precision="float32"), "cpu")
HOPELESS = """
import torch

class Flat:
    calls = 0
    def __call__(self, logits, target):
        Flat.calls += 1
        return torch.ones(())

class Clamped:
    def __call__(self, logits, target):
        return logits.clamp(min=1e4).mean()

class Explodes:
    def __call__(self, logits, target):
        return (logits ** 2).mean() * 1e12

class NotANumber:
    def __call__(self, logits, target):
        return (logits - 100).log().mean()

class Remembers:
    '''Its gradient shrinks with every call.'''
    def __init__(self):
        self.calls = 0
    def __call__(self, logits, target):
        self.calls += 1
        return (logits.sigmoid().squeeze(1) - (target == 1).float()).abs().mean() / self.calls
"""


def looked(line: str, data: SegmentationData) -> tuple[RehearsedLoss, ...]:
    return rehearsed_losses(LossSchedule.parse(line), data, CPU)


def chain(*losses: str) -> str:
    return " -> ".join(f"{loss} @1e-3 x1" for loss in losses)


class TestBatch:
    def test_every_crop_shows_foreground_and_is_as_the_image_is(self, scenes: SegmentationData) -> None:
        batch = scenes.train.rehearsal_batch(IMAGES, "cpu")
        shows = [bool((mask == 1).any()) for mask in scenes.train.masks_of("train")]
        assert len(batch) == IMAGES
        assert len(set(batch.indices)) == min(IMAGES, sum(shows))
        masks = list(scenes.train.masks_of("train"))
        for index, mask in zip(batch.indices, batch.masks.numpy(), strict=True):
            assert (mask == 1).any()
            assert (mask == masks[index]).all(), "a scene has the size of a crop"

    def test_images_without_foreground_serve_where_there_are_no_others(self, tmp_path: Path) -> None:
        """Validation's classes count here: a split whose images are all background is no error of its own."""
        data = load_data(ScenesSource(source="scenes", tile=32, train=40, val=4, test=2), tmp_path)
        split = data.train
        split._store.items.anchor_counts[:] = 0
        assert len(split.rehearsal_batch(IMAGES, "cpu")) == IMAGES

    def test_it_is_the_same_whatever_was_asked_before(self, scenes: SegmentationData) -> None:
        first = scenes.train.rehearsal_batch(3, "cpu")
        list(scenes.train.training_batches(5, 1, 4, "cpu"))
        again = scenes.train.rehearsal_batch(3, "cpu", ["cells"])
        assert torch.equal(first.images, again.images)
        assert again.maps.keys() == {"cells"}


class TestAlike:
    def test_what_is_the_same_up_to_a_factor_has_the_same_sketch(self, scenes: SegmentationData) -> None:
        """Jaccard J and Dice 2J/(1+J) always point the same way, and so do CE and focal with gamma 0."""
        line = chain(
            "tversky(alpha=0.5, beta=0.5)", "dice", "jaccard", "cross_entropy", "focal(gamma=0)", "lovasz"
        )
        found = {one.loss: one for one in looked(line, scenes)}
        near = {
            frozenset(pair)
            for pair in itertools.combinations(found, 2)
            if dist(*(found[name].sketch for name in pair)) < 1e-3
        }
        regions = ["tversky(alpha=0.5, beta=0.5)", "dice", "jaccard"]
        expected = [*itertools.combinations(regions, 2), ("cross_entropy", "focal(gamma=0)")]
        assert near == set(map(frozenset, expected))
        factor = found["dice"].strength / found["jaccard"].strength
        logits, batch = drawn(scenes)
        by_hand = [gradient(scenes, name, logits, batch) for name in ("dice", "jaccard")]
        assert factor == pytest.approx(np.linalg.norm(by_hand[0]) / np.linalg.norm(by_hand[1]), rel=1e-4)

    def test_sketches_are_as_far_apart_as_gradients(self, scenes: SegmentationData) -> None:
        names = ["jaccard", "cross_entropy", "focal(gamma=2)", "lovasz", "cross_entropy + 0.1*jaccard"]
        found = looked(chain(*names), scenes)
        logits, batch = drawn(scenes)
        gradients = [gradient(scenes, name, logits, batch) for name in names]
        units = [g / np.linalg.norm(g) for g in gradients]
        for i, j in itertools.combinations(range(len(names)), 2):
            apart = np.linalg.norm(units[i] - units[j])
            assert dist(found[i].sketch, found[j].sketch) == pytest.approx(apart, rel=0.6)

    def test_it_follows_from_loss_and_data_alone(
        self, scenes: SegmentationData, plan_of: Plans, tmp_path: Path
    ) -> None:
        """Whatever the seed, and whether the trial trains, goes on, or shares another's beginning."""
        store = CheckpointStore(tmp_path)
        plan = plan_of("cross_entropy @1e-2 x1 -> jaccard @1e-3 x1", 2)
        first = list(train(plan, scenes, store))
        assert [one.loss for one in first[0].rehearsed] == ["cross_entropy", "jaccard"]
        assert first[1].rehearsed == ()
        assert next(train(plan, scenes, store)).rehearsed == first[0].rehearsed
        other = plan_of("cross_entropy @1e-2 x1 -> dice @1e-3 x1", 2, number=3)
        shared = list(train(other, scenes, store))
        assert shared[0].seconds == 0.0
        assert [one.loss for one in shared[0].rehearsed] == ["cross_entropy", "dice"]
        assert shared[0].rehearsed[0] == first[0].rehearsed[0]
        assert Evaluation.from_dict(first[0].to_dict()) == first[0]


def drawn(data: SegmentationData):  # type: ignore[no-untyped-def]
    """The logits that losses are compared on, by their definition."""
    batch = data.train.rehearsal_batch(IMAGES, "cpu")
    shape = (len(batch), 1, *batch.masks.shape[1:])
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32) * 2), batch


def gradient(data: SegmentationData, loss: str, logits: torch.Tensor, batch) -> np.ndarray:  # type: ignore[no-untyped-def]
    criterion = build_loss(LossSchedule.parse(f"{loss} @1 x1").phases[0].loss, data.prior)
    logits = logits.double().requires_grad_()
    criterion(logits, batch.masks, batch.maps).backward()
    assert logits.grad is not None
    return logits.grad.numpy().ravel()


class TestRejected:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("Flat", "the loss has no gradient before any training: it is 1"),
            ("Clamped", "the loss has no gradient before any training: it is 1e+04"),
            ("Explodes", "the loss explodes"),
            ("NotANumber", "the loss is not finite"),
        ],
    )
    def test_it_costs_no_step(
        self,
        scenes: SegmentationData,
        plan_of: Plans,
        importable: Callable[[str, str], None],
        tmp_path: Path,
        name: str,
        said: str,
    ) -> None:
        importable(f"hopeless_{name.lower()}", HOPELESS)
        store = CheckpointStore(tmp_path / "checkpoints")
        plan = plan_of(f"hopeless_{name.lower()}:{name} @1e-3 x2", 2)
        (only,) = train(plan, scenes, store)
        assert (only.step, only.epoch, only.share, dict(only.metrics)) == (0, 0, 0.0, {})
        assert only.verdict is not None
        assert only.verdict.rule == "rejected"
        assert only.verdict.message.startswith(said)
        assert not list((tmp_path / "checkpoints").glob("**/*.pt"))
        (again,) = train(plan, scenes, store)
        assert replace(again, seconds=0.0, verdict=None) == replace(only, seconds=0.0, verdict=None)

    def test_a_later_phase_is_only_noted(
        self, scenes: SegmentationData, plan_of: Plans, importable: Callable[[str, str], None]
    ) -> None:
        importable("hopeless_later", HOPELESS)
        plan = plan_of("cross_entropy @1e-3 x1 -> hopeless_later:Clamped @1e-3 x1", 2)
        evaluations = list(train(plan, scenes))
        assert evaluations[-1].finished
        first, later = evaluations[0].rehearsed
        assert first.gradient is not None
        assert first.gradient > 0.0
        assert (later.gradient, later.strength, later.sketch) == (0.0, 0.0, ())

    def test_training_is_the_same_bit_for_bit_with_and_without(
        self, scenes: SegmentationData, plan_of: Plans, importable: Callable[[str, str], None]
    ) -> None:
        """Neither the model's running moments, random numbers nor a user's own state are touched."""
        importable("hopeless_remembers", HOPELESS)
        plan = plan_of("hopeless_remembers:Remembers @1e-2 x2", 2)
        without = replace(plan, guards=GuardSpec(rejected=None))
        for one, other in zip(train(plan, scenes), train(without, scenes), strict=True):
            assert one.metrics == other.metrics
            assert one.losses == other.losses

    def test_the_model_is_left_as_it_was(self, scenes: SegmentationData, plan_of: Plans) -> None:
        plan = plan_of("jaccard @1e-3 x1", 1)
        model = build_model(plan.model, scenes.prior, scenes.channels, seed=3).eval()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        found = rehearsal(plan.schedule.phases[0].loss, model, scenes, CPU, images=4)
        assert found is not None
        assert found.gradient > 0.0
        assert not model.training
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())

    def test_a_model_that_predicts_no_numbers_is_no_fault_of_the_loss(self, scenes: SegmentationData) -> None:
        class Broken(torch.nn.Module):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                return images[:, :1] * float("nan")

        loss = LossSchedule.parse("jaccard @1e-3 x1").phases[0].loss
        assert rehearsal(loss, Broken(), scenes, CPU, images=4) is None

    @pytest.mark.parametrize("classes", [("background", "vehicle"), ("background", "vehicle", "truck")])
    def test_no_loss_of_the_catalog_is_rejected(self, tmp_path: Path, classes: tuple[str, ...]) -> None:
        spec = ScenesSource(source="scenes", classes=classes, tile=64, train=12, val=4, test=2)
        data = load_data(spec, tmp_path)
        names = [entry.term for entry in catalog() if entry.term not in ("sum", "package.module:Name")]
        for name in names:
            needs = {"per_object": "(jaccard)", "weighted_ce": "(power=1)"}
            (found,) = looked(f"{name}{needs.get(name, '')} @1e-3 x1", data)
            assert found.gradient is not None, name
            assert 1e-6 < found.gradient < 1e3, name
