"""The boundary loss against its authors' definition, and what it does where a class has no border."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.ramp import Ramp
from lossweep.spaces.losses.terms import Boundary, Compound, Dice, WeightedTerm
from lossweep.trainers.losses import build_loss
from tests.trainers.losses.gradients import value_and_gradient

TWO = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
FOUR = ClassPrior(names=("background", "road", "roof", "tree"), frequencies=(0.6, 0.25, 0.1, 0.05))
priors = st.sampled_from((TWO, FOUR))


def batch(seed: int, prior: ClassPrior, size: tuple[int, int, int], ignored: float) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size[0], prior.channels, *size[1:], generator=random, dtype=torch.float64)
    target = torch.randint(1, len(prior.names), size, generator=random)
    target = target * (torch.rand(size, generator=random) < 0.4)
    target[torch.rand(size, generator=random) < ignored] = 255
    return logits, target


def authors(logits: Tensor, target: Tensor) -> Tensor:
    """SurfaceLoss over one_hot2dist of github.com/LIVIAETS/boundary-loss, idc = the foreground classes."""
    z = torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits
    maps = []
    for mask in target:
        planes = []
        for index in range(1, z.shape[1]):
            positive = (mask == index).numpy()
            distance = torch.zeros(mask.shape, dtype=torch.float64)
            if positive.any() and not positive.all():  # of a whole image scipy's distances mean nothing
                negative = ~positive
                outside = distance_transform_edt(negative) * negative
                distance = torch.from_numpy(outside - (distance_transform_edt(positive) - 1) * positive)
            planes.append(distance)
        maps.append(torch.stack(planes))
    return (z.softmax(1)[:, 1:] * torch.stack(maps)).mean()


@settings(max_examples=60)
@given(
    prior=priors,
    seed=st.integers(0, 9999),
    size=st.tuples(st.integers(1, 3), st.integers(1, 14), st.integers(1, 14)),
)
def test_value_and_gradient_are_the_authors(prior: ClassPrior, seed: int, size: tuple[int, int, int]) -> None:
    logits, target = batch(seed, prior, size, 0.0)
    mine = value_and_gradient(build_loss(Boundary(), prior), logits, target)
    theirs = value_and_gradient(authors, logits, target)
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)  # distances are kept in float16


@settings(max_examples=40)
@given(prior=priors, seed=st.integers(0, 9999), scale=st.sampled_from((1.0, 30.0, 1000.0)))
def test_it_is_finite_and_minds_no_ignored_pixel(prior: ClassPrior, seed: int, scale: float) -> None:
    logits, target = batch(seed, prior, (2, 6, 7), 0.3)
    logits = (logits * scale).clamp(-120, 120).float()
    loss = build_loss(Boundary(), prior)
    value, gradient = value_and_gradient(loss, logits, target)
    assert value.isfinite()
    assert gradient.isfinite().all()
    ignored = (target == 255)[:, None].expand_as(logits)
    assert (gradient[ignored] == 0).all()
    other, _ = value_and_gradient(loss, torch.where(ignored, 7.0, logits), target)
    torch.testing.assert_close(other, value)


@pytest.mark.parametrize("prior", [TWO, FOUR], ids=["two", "four"])
def test_gradients_are_the_derivatives(prior: ClassPrior) -> None:
    logits, target = batch(0, prior, (2, 4, 5), 0.1)
    loss = build_loss(Boundary(), prior)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits.requires_grad_())


@pytest.mark.parametrize("fill", [0, 1, 255])
def test_without_a_border_there_is_nothing_to_say(fill: int) -> None:
    loss = build_loss(Boundary(), TWO)
    value, gradient = value_and_gradient(loss, torch.randn(2, 1, 5, 5), torch.full((2, 5, 5), fill))
    assert value == 0
    assert (gradient == 0).all()


def test_a_false_alarm_costs_the_more_the_farther_it_is() -> None:
    target = torch.zeros(1, 1, 40, dtype=torch.int64)
    target[..., 0] = 1
    loss, values = build_loss(Boundary(), TWO), []
    for place in (2, 10, 30):
        logits = torch.full((1, 1, 1, 40), -9.0)
        logits[..., [0, place]] = 9.0
        values.append(loss(logits, target).item())
    assert values[0] < values[1] / 3 < values[2] / 8


def test_a_magnified_crop_has_magnified_distances() -> None:
    target = torch.zeros(1, 8, 8, dtype=torch.int64)
    target[:, 2:5, 2:5] = 1
    loss, logits = build_loss(Boundary(), TWO), torch.randn(1, 1, 8, 8)
    from lossweep.trainers.maps.known import maps_of

    maps = maps_of(target, loss.maps, 2)
    twice = {name: 2 * values.float() for name, values in maps.items()}  # as a crop at zoom 2 has them
    torch.testing.assert_close(loss(logits, target, twice), 2 * loss(logits, target, maps))


def test_ten_thousand_objects() -> None:
    target = torch.zeros(1, 200, 200, dtype=torch.int64)
    target[:, ::2, ::2] = 1
    logits = torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    value, _ = value_and_gradient(build_loss(Boundary(), TWO), logits, target)
    torch.testing.assert_close(value.double(), authors(logits.double(), target), rtol=1e-3, atol=0)


def test_it_is_meant_for_a_ramped_weight() -> None:
    parts = (WeightedTerm(loss=Dice()), WeightedTerm(weight=Ramp(0.01, 1.0), loss=Boundary()))
    loss = build_loss(Compound(sum=parts), TWO)
    logits, target = batch(1, TWO, (2, 9, 9), 0.0)
    steps = loss.along([0.0, 1.0])
    steps.set(0)
    first = loss.parts(logits, target)["boundary"].clone()
    steps.set(1)
    torch.testing.assert_close(loss.parts(logits, target)["boundary"], 100 * first)
