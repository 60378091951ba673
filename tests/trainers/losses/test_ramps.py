"""A loss that ramps: at any step it is the plain loss with that step's numbers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.ramp import Ramp, settled
from lossweep.spaces.losses.terms import (
    KNOWN_TERMS,
    Compound,
    CrossEntropy,
    Dice,
    Focal,
    FocalTversky,
    FrequencyWeights,
    ImportedLoss,
    Jaccard,
    Loss,
    PerObject,
    Tversky,
    WeightedCrossEntropy,
    WeightedTerm,
)
from lossweep.trainers.losses import SegmentationLoss, build_loss

TWO = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
FOUR = ClassPrior(names=("background", "road", "roof", "tree"), frequencies=(0.6, 0.3, 0.1, 0.0))


def batch(prior: ClassPrior, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, prior.channels, 9, 7, generator=random).mul_(3.0).requires_grad_()
    target = torch.randint(len(prior.names), (3, 9, 7), generator=random)
    target[0, 0] = 255
    return logits, target


def result(criterion: SegmentationLoss, prior: ClassPrior) -> tuple[Tensor, Tensor]:
    logits, target = batch(prior)
    value = criterion(logits, target)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


def ramp(low: float, high: float) -> st.SearchStrategy[Any]:
    ends = st.floats(low, high)
    return ends | st.builds(Ramp, ends, ends, st.sampled_from(["linear", "cosine"]))


terms = st.one_of(
    st.builds(Focal, gamma=ramp(0, 5), alpha=st.none() | ramp(0.01, 0.99)),
    st.builds(
        Focal, gamma=ramp(0, 5), weights=st.builds(FrequencyWeights, power=ramp(0, 2), cap=st.just(20.0))
    ),
    st.builds(WeightedCrossEntropy, weights=st.builds(FrequencyWeights, power=ramp(0, 2))),
    st.builds(Tversky, alpha=ramp(0, 2), beta=ramp(0.01, 2)),
    st.builds(FocalTversky, alpha=ramp(0, 2), beta=ramp(0.01, 2), gamma=ramp(0.1, 3)),
    st.just(Dice()),
)
terms |= st.builds(
    PerObject,
    loss=terms.filter(lambda loss: not isinstance(loss, Dice)),
    way=st.sampled_from(["cells", "blobs"]),
)
parts = st.builds(WeightedTerm, weight=ramp(0.01, 100.0), loss=terms)
losses = terms | st.lists(parts, min_size=2, max_size=3, unique_by=lambda part: part.loss).map(
    lambda found: Compound(sum=tuple(found))
)


@settings(max_examples=60)
@given(losses, st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5), st.sampled_from([TWO, FOUR]))
def test_at_each_step_it_is_the_plain_loss_with_the_values_of_the_step(
    loss: Loss, shares: list[float], prior: ClassPrior
) -> None:
    criterion = build_loss(loss, prior)
    steps = criterion.along(shares)
    # In any order: a step sets all that ramps, whatever was set before.
    for index in [*reversed(range(len(shares))), 0]:
        steps.set(index)
        value, gradient = result(criterion, prior)
        expected, expected_gradient = result(build_loss(settled(loss, shares[index]), prior), prior)
        assert torch.equal(value, expected)
        assert torch.equal(gradient, expected_gradient)


@settings(max_examples=30)
@given(losses, st.floats(0.0, 1.0), st.sampled_from([TWO, FOUR]))
def test_what_can_be_compared_is_the_loss_with_its_ramps_at_their_ends(
    loss: Loss, share: float, prior: ClassPrior
) -> None:
    criterion = build_loss(loss, prior)
    criterion.along([share]).set(0)
    logits, target = batch(prior)
    measured = criterion.measured(logits, target)
    if criterion.ramps is None:
        assert measured.comparable is None
        return
    assert measured.comparable is not None
    assert not measured.comparable.requires_grad
    at_its_end, _ = result(build_loss(settled(loss, 1.0), prior), prior)
    torch.testing.assert_close(measured.comparable, at_its_end)


def test_a_loss_is_built_where_its_ramps_begin() -> None:
    loss = Focal(gamma=Ramp(3.0, 1.0), alpha=Ramp(0.25, 0.75))
    for found, expected in zip(
        result(build_loss(loss, TWO), TWO), result(build_loss(settled(loss, 0.0), TWO), TWO), strict=True
    ):
        assert torch.equal(found, expected)


def test_without_a_ramp_there_is_nothing_to_set() -> None:
    criterion = build_loss(Focal(gamma=2.0), TWO)
    assert criterion.ramps is None
    assert criterion.along([0.0, 1.0]).tables == ()
    criterion.along([0.0, 1.0]).set(1)


def test_class_weights_follow_from_the_power_of_the_step_and_stay_capped() -> None:
    loss = WeightedCrossEntropy(weights=FrequencyWeights(power=Ramp(0.0, 2.0), cap=4.0))
    criterion = build_loss(loss, FOUR)
    steps, seen = criterion.along([0.0, 0.5, 1.0]), []
    for index in range(3):
        steps.set(index)
        seen.append(criterion.get_buffer("terms.0.weights").tolist())
    assert seen[0] == [1.0, 1.0, 1.0, 1.0]
    assert seen[1] == pytest.approx([1.0, 2.0, 4.0, 1.0]), (
        "(max f / f), at most the cap; 1 for an absent class"
    )
    assert seen[2] == pytest.approx([1.0, 4.0, 4.0, 1.0])


def test_a_users_own_loss_is_built_once_and_its_weight_ramps(importable: Any) -> None:
    importable(
        "counted_loss", "built = []\ndef loss():\n    built.append(1)\n    return lambda z, t: z.mean()\n"
    )
    own = ImportedLoss(term="counted_loss:loss")
    loss = Compound(
        sum=(WeightedTerm(loss=Focal(gamma=Ramp(0, 2))), WeightedTerm(weight=Ramp(0.0, 3.0), loss=own))
    )
    criterion = build_loss(loss, TWO)
    criterion.along([0.5]).set(0)
    logits, target = batch(TWO)
    assert torch.allclose(criterion.parts(logits, target)["counted_loss:loss"], 1.5 * logits.mean())
    import counted_loss

    assert len(counted_loss.built) == 1


def test_nothing_of_a_ramp_is_in_a_checkpoint_and_it_moves_and_is_copied_with_its_loss() -> None:
    criterion = build_loss(
        Compound(sum=(WeightedTerm(weight=Ramp(0, 1), loss=Jaccard()), WeightedTerm(loss=CrossEntropy()))),
        TWO,
    )
    assert criterion.state_dict() == {}
    assert all(buffer.device.type == "meta" for buffer in copy.deepcopy(criterion).to("meta").buffers())
    other = copy.deepcopy(criterion)
    other.along([1.0]).set(0)
    assert criterion.weights.tolist() == [1.0, 0.0]
    assert other.weights.tolist() == [1.0, 1.0]


RAMPABLE = {
    ("focal", "gamma"),
    ("focal", "alpha"),
    ("tversky", "alpha"),
    ("tversky", "beta"),
    ("focal_tversky", "alpha"),
    ("focal_tversky", "beta"),
    ("focal_tversky", "gamma"),
}


def test_every_parameter_that_may_ramp_changes_what_is_computed_and_not_how() -> None:
    """Whatever declares itself `Ramped`: its value must be a tensor's, and no part of the structure."""
    found = set()
    for kind in KNOWN_TERMS:
        for name, field in kind.model_fields.items():
            if "Ramp" not in str(field.annotation):
                continue
            found.add((kind.known_as(), name))
            loss = kind(**{name: Ramp(0.25, 0.75)})
            criterion = build_loss(loss, TWO)
            assert criterion.along([0.5]).tables, f"{kind.known_as()}.{name} is no tensor"
            criterion.along([0.5]).set(0)
            assert torch.equal(result(criterion, TWO)[0], result(build_loss(settled(loss, 0.5), TWO), TWO)[0])
    assert found >= RAMPABLE
