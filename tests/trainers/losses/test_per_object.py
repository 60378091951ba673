"""Per-object terms against their definition written out, the authors' blob loss, and what they are for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import (
    Compound,
    CrossEntropy,
    Dice,
    Focal,
    FocalTversky,
    Jaccard,
    PerObject,
    Tversky,
    WeightedCrossEntropy,
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

TWO = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
FOUR = ClassPrior(names=("background", "road", "roof", "tree"), frequencies=(0.6, 0.25, 0.1, 0.05))


def batch(seed: int, prior: ClassPrior, size: tuple[int, int, int] = (3, 9, 11)) -> tuple[Tensor, Tensor]:
    """Double logits and masks with several objects, some ignored pixels and one image without objects."""
    random = torch.Generator().manual_seed(seed)
    classes = len(prior.names)
    logits = 3 * torch.randn(size[0], prior.channels, *size[1:], generator=random, dtype=torch.float64)
    target = torch.randint(1, classes, size, generator=random) * (torch.rand(size, generator=random) < 0.2)
    target[torch.rand(size, generator=random) < 0.1] = 255
    if size[0] > 1:
        target[-1] = torch.where(target[-1] == 255, 255, 0)
    return logits, target


def inner_value(loss: object, log_p: Tensor, t: Tensor, index: int, own: Tensor, other: Tensor) -> Tensor:
    """A term within an object's pixels: masks (pixels,) of its own and of the others, weights included."""
    p = log_p.exp()[index]
    if isinstance(loss, CrossEntropy | WeightedCrossEntropy | Focal):
        weights = torch.ones(len(log_p), dtype=torch.float64)
        if getattr(loss, "weights", None) is not None:
            weights = torch.tensor(loss.weights, dtype=torch.float64)
        true = log_p.gather(0, t[None].clamp_max(len(log_p) - 1))[0]
        amounts = weights[t.clamp_max(len(log_p) - 1)]
        values = -amounts * true
        if isinstance(loss, Focal):
            values = values * (1 - true.exp()) ** loss.gamma
            if loss.alpha is not None:
                values = (
                    values * torch.tensor([1 - loss.alpha, loss.alpha], dtype=torch.float64)[t.clamp_max(1)]
                )
        elif loss.label_smoothing:
            spread = -(weights[:, None] * log_p).sum(0) / len(log_p)
            values = (1 - loss.label_smoothing) * values + loss.label_smoothing * spread
        both = own + other
        return (values * both).sum() / (amounts * both).sum()
    tp, fn, fp = (p * own).sum(), ((1 - p) * own).sum(), (p * other).sum()
    if isinstance(loss, Jaccard):
        return 1 - (tp + loss.smooth) / (tp + fp + fn + loss.smooth)
    if isinstance(loss, Dice):
        return 1 - (2 * tp + loss.smooth) / (2 * tp + fp + fn + loss.smooth)
    assert isinstance(loss, Tversky | FocalTversky)
    wrong = loss.alpha * fp + loss.beta * fn
    distance = wrong / (tp + wrong + loss.smooth)
    if isinstance(loss, FocalTversky):
        distance = (distance + 1e-6) ** loss.gamma - 1e-6**loss.gamma
    return distance


def defined(loss: PerObject, logits: Tensor, target: Tensor) -> Tensor:
    """The definition, object by object, each mask a whole image."""
    z = logits
    if z.shape[1] == 1:
        z = torch.cat([torch.zeros_like(z), z], 1)
    classes = z.shape[1]
    by_class: list[list[list[Tensor]]] = []  # class, image, object
    for index in range(1, classes):
        images = []
        for image, mask in zip(z.log_softmax(1), target, strict=True):
            images.append(objects_of(loss, image, mask, index))
        by_class.append(images)
    if loss.reduction == "batch":
        means = [
            torch.stack([v for image in images for v in image]).mean() for images in by_class if any(images)
        ]
        return torch.stack(means).mean() if means else logits.sum() * 0
    labelled = [place for place, mask in enumerate(target) if (mask != 255).any()]
    if not labelled:
        return logits.sum() * 0
    return torch.stack(
        [torch.stack([torch.stack(images[n]).mean() for images in by_class]).mean() for n in labelled]
    ).mean()


def objects_of(loss: PerObject, log_p: Tensor, mask: Tensor, index: int) -> list[Tensor]:
    labels, count = ndimage.label((mask == index).numpy(), np.ones((3, 3)))
    labels = labels.astype(np.int64)
    known, t = (mask != 255).flatten(), torch.where(mask == 255, 0, mask).flatten()
    member = (mask == index).flatten()
    if count == 0:
        domains = [(torch.zeros_like(known), known)]
    else:
        where = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
        cells, numbers = torch.from_numpy(labels[tuple(where)]).flatten(), torch.from_numpy(labels).flatten()
        domains = []
        for number in range(1, count + 1):
            others = known & ~member
            if loss.way == "cells":
                others = others & (cells == number)
            domains.append((numbers == number, others))
    values = []
    for own, other in domains:
        weights = [own.double(), other.double()]
        if not (own | other).any():
            continue
        if loss.inverse_size and own.any() and other.any():
            half = (own.sum() + other.sum()) / 2
            weights = [weights[0] * half / own.sum(), weights[1] * half / other.sum()]
        values.append(inner_value(loss.loss, log_p.flatten(1), t, index, *weights))
    return values


def inner_terms(classes: int) -> list[object]:
    return [
        CrossEntropy(),
        CrossEntropy(label_smoothing=0.1),
        WeightedCrossEntropy(weights=tuple(1.0 + k for k in range(classes))),
        Focal(gamma=0.5, alpha=0.7),
        Focal(gamma=2.0, weights=tuple(1.0 + k for k in range(classes))),
        Jaccard(),
        Dice(smooth=0.3),
        Tversky(alpha=0.8, beta=0.4),
        FocalTversky(gamma=1.5),
    ]


@pytest.mark.parametrize("prior", [TWO, FOUR], ids=["two", "four"])
@pytest.mark.parametrize("way", ["cells", "blobs"])
@pytest.mark.parametrize("inverse_size", [False, True])
@pytest.mark.parametrize("reduction", ["batch", "image"])
def test_values_and_gradients_are_those_of_the_definition(prior, way, inverse_size, reduction):
    for seed, inner in enumerate(inner_terms(len(prior.names))):
        loss = PerObject(loss=inner, way=way, inverse_size=inverse_size, reduction=reduction)
        logits, target = batch(seed, prior)
        mine = value_and_gradient(build_loss(loss, prior), logits, target)
        exact = value_and_gradient(lambda z, t, loss=loss: defined(loss, z, t), logits, target)
        torch.testing.assert_close(mine, exact, rtol=1e-9, atol=1e-10, msg=lambda m, i=inner: f"{i}: {m}")


priors = st.sampled_from((TWO, FOUR))
per_object = st.builds(
    PerObject,
    loss=st.sampled_from(inner_terms(2)).filter(lambda inner: not getattr(inner, "weights", None)),
    way=st.sampled_from(("cells", "blobs")),
    inverse_size=st.booleans(),
    reduction=st.sampled_from(("batch", "image")),
)


@settings(max_examples=60)
@given(
    loss=per_object,
    prior=priors,
    seed=st.integers(0, 9999),
    size=st.tuples(st.integers(1, 3), st.integers(1, 14), st.integers(1, 14)),
)
def test_any_shape_is_as_defined(loss, prior, seed, size):
    logits, target = batch(seed, prior, size)
    mine = value_and_gradient(build_loss(loss, prior), logits, target)
    exact = value_and_gradient(lambda z, t: defined(loss, z, t), logits, target)
    torch.testing.assert_close(mine, exact, rtol=1e-9, atol=1e-10)


@settings(max_examples=40)
@given(loss=per_object, prior=priors, seed=st.integers(0, 9999), scale=st.sampled_from((1.0, 30.0, 1000.0)))
def test_float32_is_near_the_definition_and_finite(loss, prior, seed, scale):
    logits, target = batch(seed, prior)
    logits = (logits * scale).clamp(-120, 120).float()
    value, gradient = value_and_gradient(build_loss(loss, prior), logits, target)
    assert value.isfinite()
    assert gradient.isfinite().all()
    if scale == 1.0:
        exact, slope = value_and_gradient(lambda z, t: defined(loss, z, t), logits.double(), target)
        torch.testing.assert_close(value.double(), exact, rtol=1e-4, atol=2e-6)
        assert (gradient.double() - slope).abs().max() <= 1e-4 * slope.abs().max() + 1e-7


@pytest.mark.parametrize("prior", [TWO, FOUR], ids=["two", "four"])
@pytest.mark.parametrize("way", ["cells", "blobs"])
def test_gradients_are_the_derivatives(prior, way):
    logits, target = batch(5, prior, (2, 5, 6))
    for inner in (Jaccard(), Focal(gamma=0.5, alpha=0.3), CrossEntropy(label_smoothing=0.2)):
        loss = build_loss(PerObject(loss=inner, way=way, inverse_size=True), prior)
        maps = maps_of(target, loss.maps, len(prior.names))
        assert torch.autograd.gradcheck(
            lambda z, loss=loss, maps=maps: loss(z, target, maps), logits.requires_grad_()
        )


def blob_loss_of_its_authors(outputs: Tensor, labels: Tensor, criterion: Callable[..., Tensor]) -> Tensor:
    """What `compute_blob_loss_multi` of github.com/neuronflow/blob_loss does.

    Outputs are probabilities (N, H, W), labels number the blobs; images without any don't count.
    """
    images = []
    for output, label in zip(outputs, labels, strict=True):
        blobs = []
        for number in label.unique()[1:]:
            mask = (label == 0) | (label == number)
            blobs.append(criterion(output * mask, (label == number).to(output.dtype)))
        if blobs:
            images.append(torch.stack(blobs).mean())
    return torch.stack(images).mean()


def test_blobs_are_those_of_the_authors():
    """Dice of the masked probabilities, for images that each show a blob."""
    logits, target = batch(3, TWO, (4, 12, 12))
    target[target == 255] = 0
    target[-1, 2:4, 2:4] = 1
    masks = [mask.numpy() == 1 for mask in target]
    labels = torch.from_numpy(np.stack([ndimage.label(mask, np.ones((3, 3)))[0] for mask in masks]))

    def dice(p: Tensor, y: Tensor) -> Tensor:
        return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)

    loss = build_loss(PerObject(loss=Dice(), way="blobs", reduction="image"), TWO)
    mine = value_and_gradient(loss, logits, target)
    theirs = value_and_gradient(
        lambda z, _: blob_loss_of_its_authors(z[:, 0].sigmoid(), labels, dice), logits, target
    )
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


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
