"""Per-object terms against their definition written out and the authors' blob loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import (
    CrossEntropy,
    Dice,
    Focal,
    FocalTversky,
    Jaccard,
    PerObject,
    Tversky,
    WeightedCrossEntropy,
)
from lossweep.trainers.losses import build_loss
from lossweep.trainers.maps.known import maps_of
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
