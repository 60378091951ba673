"""What per-object terms come to: of many objects and none, large and small ones, compiled and launched."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode

from lossweep.spaces.losses.terms import (
    Compound,
    CrossEntropy,
    Dice,
    Focal,
    Jaccard,
    PerObject,
    Tversky,
    WeightedTerm,
)
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.optimization import Optimization
from lossweep.trainers.losses import build_loss, segments
from lossweep.trainers.losses.segments import renumbered
from lossweep.trainers.maps.known import maps_of
from lossweep.trainers.plan import TrainingSpec
from tests.trainers.losses.gradients import value_and_gradient
from tests.trainers.losses.test_per_object import FOUR, TWO, batch, defined


def dots(side: int) -> Tensor:
    target = torch.zeros(1, 2 * side, 2 * side, dtype=torch.int64)
    target[:, ::2, ::2] = 1
    return target


@pytest.mark.parametrize("way", ["cells", "blobs"])
@pytest.mark.parametrize("inner", [Jaccard(), CrossEntropy()])
def test_ten_thousand_objects(way, inner):
    target = dots(100)
    logits = torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    loss = PerObject(loss=inner, way=way)
    value, gradient = value_and_gradient(build_loss(loss, TWO), logits, target)
    assert gradient.isfinite().all()
    small = dots(4)
    assert value.isfinite()
    exact = defined(loss, logits[..., :8, :8].double(), small)
    torch.testing.assert_close(build_loss(loss, TWO)(logits[..., :8, :8].double(), small), exact)


@pytest.mark.parametrize("prior", [TWO, FOUR], ids=["two", "four"])
@pytest.mark.parametrize("way", ["cells", "blobs"])
@pytest.mark.parametrize("inner", [Jaccard(), CrossEntropy()])
def test_empty_tiles_absent_classes_ignored_tiles_and_one_pixel(prior, way, inner):
    loss = build_loss(PerObject(loss=inner, way=way), prior)
    logits = torch.randn(2, prior.channels, 6, 6, generator=torch.Generator().manual_seed(1))
    empty = torch.zeros(2, 6, 6, dtype=torch.int64)
    value, gradient = value_and_gradient(loss, logits, empty)
    assert value > 0
    # Every false positive is pushed down: the only logit, or by the background's.
    assert ((gradient[:, 0] > 0) == prior.is_binary).all()
    value, gradient = value_and_gradient(loss, logits, torch.full_like(empty, 255))
    assert value == 0
    assert (gradient == 0).all()
    one = value_and_gradient(loss, logits[:1, :, :1, :1], torch.ones(1, 1, 1, dtype=torch.int64))
    assert one[0] > 0
    assert one[1].isfinite().all()


@pytest.mark.parametrize("inner", [Jaccard(), CrossEntropy()])
def test_with_one_object_that_has_all_pixels_to_itself_it_is_the_plain_term(inner):
    logits, target = batch(0, TWO, (1, 9, 9))
    target[target == 1] = 0
    target[0, 3:6, 4:7] = 1
    for way in ("cells", "blobs"):
        mine = build_loss(PerObject(loss=inner, way=way), TWO)(logits, target)
        torch.testing.assert_close(mine, build_loss(inner, TWO)(logits, target))


def test_each_object_has_the_same_say():
    """A large object missed costs what a small one does; the plain Jaccard minds the large one."""
    target = torch.zeros(1, 32, 64, dtype=torch.int64)
    target[0, 4:28, 4:28] = 1  # 576 pixels
    target[0, 15:17, 50:52] = 1  # 4 pixels
    sure = torch.where(target == 1, 20.0, -20.0)
    without_large, without_small = sure.clone(), sure.clone()
    without_large[..., :32] = without_small[..., 32:] = -20.0
    for way in ("cells", "blobs"):
        loss = build_loss(PerObject(loss=Jaccard(smooth=1e-6), way=way), TWO)
        large, small = (loss(z[:, None], target) for z in (without_large, without_small))
        torch.testing.assert_close(large, torch.tensor(0.5))
        torch.testing.assert_close(small, torch.tensor(0.5))
    plain = build_loss(Jaccard(), TWO)
    assert plain(without_large[:, None], target) > 100 * plain(without_small[:, None], target)


def test_fifty_pixels():
    """50 pixels of one object or one pixel of each of 50 objects: what each loss prefers (docs/losses.md)."""
    target = torch.zeros(1, 32, 64, dtype=torch.int64)
    target[0, 6:26, 4:24] = 1  # 400 pixels
    of_one, of_fifty = torch.zeros_like(target), torch.zeros_like(target)
    of_one[0, 6:16, 4:9] = 1
    for row in range(10):
        for column in range(5):
            target[0, 3 * row + 1 : 3 * row + 3, 6 * column + 32 : 6 * column + 34] = 1  # 4 pixels
            of_fifty[0, 3 * row + 1, 6 * column + 32] = 1
    assert of_one.sum() == of_fifty.sum() == 50
    sure = torch.where(target == 1, 20.0, -20.0)

    def costs(loss: object) -> tuple[float, float]:
        built = build_loss(loss, TWO)
        one, fifty = (
            float(built(torch.where(missed == 1, -20.0, sure)[:, None], target))
            for missed in (of_one, of_fifty)
        )
        return one, fifty

    for loss in (CrossEntropy(), Jaccard(), Dice()):
        one, fifty = costs(loss)
        assert one == pytest.approx(fifty, rel=1e-4)
    for way in ("cells", "blobs"):
        one, fifty = costs(PerObject(loss=Jaccard(smooth=1e-3), way=way))
        assert one == pytest.approx(50 / 400 / 51, rel=0.02)
        assert fifty == pytest.approx(50 * 0.25 / 51, rel=0.02)


def test_numbers_too_large_for_a_table_are_counted_anew():
    numbers = torch.randint(0, 2**31 - 1, (3, 2, 200), generator=torch.Generator().manual_seed(0))
    numbers[..., ::7] = 0
    numbers[..., 1::7] = numbers[..., 2::7][..., : numbers[..., 1::7].shape[-1]]
    for old, new in zip(numbers.flatten(0, 1), renumbered(numbers).flatten(0, 1), strict=True):
        assert ((old == 0) == (new == 0)).all()
        assert (
            len(set(zip(old.tolist(), new.tolist(), strict=True))) == len(old.unique()) == len(new.unique())
        )
        assert new.max() == len(old.unique()) - 1


@pytest.mark.slow
@pytest.mark.parametrize("prior", [TWO, FOUR], ids=["two", "four"])
def test_changing_parameters_never_recompiles(prior):
    logits, target = batch(0, prior)
    maps = maps_of(target, ("components", "cells"), len(prior.names))
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    step = torch.compile(lambda loss, z: loss(z, target, maps), backend=counter, fullgraph=True)
    compiled = None
    for x in (0.3, 0.55, 0.8):
        parts = (
            PerObject(loss=Tversky(alpha=x, beta=1 - x, smooth=x), inverse_size=True),
            PerObject(loss=Focal(gamma=x, alpha=x), way="blobs", reduction="image"),
        )
        loss = build_loss(Compound(sum=tuple(WeightedTerm(weight=x, loss=part) for part in parts)), prior)
        mine = value_and_gradient(lambda z, _, loss=loss: step(loss, z), logits, target)
        plain = value_and_gradient(lambda z, _, loss=loss: loss(z, target, maps), logits, target)
        torch.testing.assert_close(mine, plain, rtol=1e-9, atol=1e-12)
        compiled = compiled or counter.frame_count
        assert counter.frame_count == compiled, f"recompiled at {x}"
    torch._dynamo.reset()


class Launches(TorchDispatchMode):
    """Counts the operators that compute: on a GPU each is a launch."""

    VIEWS = ("view", "squeeze", "unsqueeze", "expand", "slice", "select", "alias", "detach", "t", "permute")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.count += operator.name().removeprefix("aten::").split(".")[0].strip("_") not in self.VIEWS
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize("line", ["jaccard", "cross_entropy"])
def test_a_step_launches_a_tenth_more_at_most(line, monkeypatch):
    """Of a small network's step, in the precision that a GPU trains in: it is bound by launches."""
    monkeypatch.setattr(segments, "_numbered", lambda numbers: (numbers.long(), 256))  # as on a GPU
    training = TrainingSpec(batch=2, precision="bfloat16")
    numerics = Numerics.of(training, "cpu")
    model = smp.Unet("resnet18", encoder_weights=None, classes=1)
    optimization = Optimization(model, training, numerics, 2)
    images, target = torch.randn(2, 3, 64, 64), torch.zeros(2, 64, 64, dtype=torch.uint8)
    target[:, 4:9, 4:9] = target[:, 20:22, 20:22] = 1
    launched = []
    for text in (line, f"per_object({line})"):
        criterion = build_loss(LossSchedule.parse(f"{text} @1e-3 x1").phases[0].loss, TWO)
        maps = maps_of(target, criterion.maps, 2)
        optimization.step(images, target, criterion, 1e-3, maps)
        with Launches() as launches:
            optimization.step(images, target, criterion, 1e-3, maps)
        launched.append(launches.count)
    plain, by_object = launched
    assert by_object <= 1.1 * plain, launched
