"""What holds for every term, whatever the logits, masks and parameters."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import (
    Compound,
    CrossEntropy,
    Dice,
    Focal,
    FocalTversky,
    Jaccard,
    Loss,
    Lovasz,
    MatthewsCorrelation,
    SoftJaccard,
    TopKCrossEntropy,
    Tversky,
    WeightedCrossEntropy,
    WeightedTerm,
)
from lossweep.trainers.losses import build_loss
from tests.trainers.losses.gradients import of_loss as value_and_gradient

TWO = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
FOUR = ClassPrior(names=("background", "road", "roof", "tree"), frequencies=(0.6, 0.25, 0.1, 0.05))
PRIORS = st.sampled_from((TWO, FOUR))

gammas = st.sampled_from((0.0, 0.3, 0.5, 1.0, 2.0, 5.0)) | st.floats(0.0, 5.0)
smooths = st.floats(1e-3, 10.0)
reductions = st.sampled_from(("batch", "image"))
smoothings = st.sampled_from((0.0, 0.1, 0.5))


def weights(classes: int) -> st.SearchStrategy[tuple[float, ...]]:
    return st.tuples(*[st.floats(0.1, 50.0)] * classes)


def pixelwise(classes: int) -> st.SearchStrategy[Loss]:
    return st.one_of(
        st.builds(CrossEntropy, label_smoothing=smoothings),
        st.builds(WeightedCrossEntropy, weights=weights(classes), label_smoothing=smoothings),
        st.builds(
            Focal,
            gamma=gammas,
            alpha=st.none() | st.floats(0.01, 0.99),
            weights=st.none() | weights(classes),
        ),
    )


regions = st.one_of(
    st.builds(Jaccard, smooth=smooths, reduction=reductions),
    st.builds(Dice, smooth=smooths, reduction=reductions),
    st.builds(SoftJaccard, smooth=smooths, reduction=reductions, label_smoothing=smoothings),
    st.builds(
        Tversky,
        alpha=st.floats(0.0, 2.0),
        beta=st.floats(0.0, 2.0),
        smooth=smooths,
        reduction=reductions,
    ),
    st.builds(
        FocalTversky,
        alpha=st.floats(0.1, 2.0),
        beta=st.floats(0.1, 2.0),
        gamma=st.floats(0.3, 3.0),
        smooth=smooths,
        reduction=reductions,
    ),
)
correlations = st.builds(MatthewsCorrelation, smooth=smooths)
lovasz = st.builds(Lovasz, reduction=reductions)
hardest = st.builds(
    TopKCrossEntropy,
    share=st.floats(0.01, 1.0),
    threshold=st.none() | st.floats(0.05, 0.95),
    reduction=reductions,
)


def terms(classes: int) -> st.SearchStrategy[Loss]:
    single = st.one_of(pixelwise(classes), regions, correlations, lovasz, hardest)
    part = st.builds(WeightedTerm, weight=st.floats(0.1, 5.0), loss=single)
    parts = st.lists(part, min_size=2, max_size=3, unique_by=lambda part: part.loss).map(tuple)
    return single | st.builds(Compound, sum=parts)


MASKS = ("random", "background", "foreground", "absent class", "ignored", "one pixel", "one image ignored")


def batch(
    seed: int, scale: float, mask: str, prior: ClassPrior, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Logits within +-120 and a mask of the kind, with a few ignored pixels where there are several."""
    random = torch.Generator().manual_seed(seed)
    size = (1, 1, 1) if mask == "one pixel" else (3, 4, 5)
    logits = (torch.randn(size[0], prior.channels, *size[1:], generator=random) * scale).clamp(-120, 120)
    classes = len(prior.names)
    target = torch.randint(0, classes - (mask == "absent class"), size, generator=random)
    if mask == "ignored":
        return logits.to(dtype), torch.full(size, 255)
    if mask == "background":
        target = torch.zeros(size, dtype=torch.int64)
    if mask == "foreground":
        target = target.clamp_min(1)
    if mask != "one pixel":
        target[torch.rand(size, generator=random) < 0.2] = 255
    if mask == "one image ignored":
        target[1] = 255
    return logits.to(dtype), target


seeds = st.integers(0, 2**31)
scales = st.sampled_from((0.1, 1.0, 5.0, 30.0, 120.0, 1000.0))
masks = st.sampled_from(MASKS)
examples = settings(max_examples=80)


@examples
@given(data=st.data(), prior=PRIORS, seed=seeds, scale=scales, mask=masks)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finite(data, prior, seed, scale, mask, dtype):
    loss = data.draw(terms(len(prior.names)))
    value, gradient = value_and_gradient(loss, prior, *batch(seed, scale, mask, prior, dtype))
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert value.isfinite()
    assert gradient.isfinite().all()


@examples
@given(
    data=st.data(), prior=PRIORS, seed=seeds, scale=st.sampled_from((0.1, 1.0, 5.0, 30.0, 120.0)), mask=masks
)
def test_float32_gradient_agrees_with_a_float64_reference(reference, data, prior, seed, scale, mask):
    loss = data.draw(st.one_of(pixelwise(len(prior.names)), regions, correlations))
    logits, target = batch(seed, scale, mask, prior)
    value, gradient = value_and_gradient(loss, prior, logits, target)
    exact = logits.double().requires_grad_()
    expected = reference(loss, exact, target)
    (slope,) = torch.autograd.grad(expected, exact)
    torch.testing.assert_close(value.double(), expected.detach(), rtol=1e-4, atol=2e-6)
    # Relative to the gradient as a whole, down to what one rounding in the largest probability amounts to.
    pixels = int((target != 255).sum()) or 1
    heaviest = max(getattr(loss, "weights", None) or (1.0,))
    lightest = min(getattr(loss, "weights", None) or (1.0,))
    floor = 1e-6 / pixels * heaviest / lightest
    assert (gradient.double() - slope).abs().max() <= 1e-4 * slope.abs().max() + floor


@examples
@given(data=st.data(), prior=PRIORS, seed=seeds, mask=masks)
def test_float64_agrees_with_the_reference_to_the_last_digits(reference, data, prior, seed, mask):
    loss = data.draw(terms(len(prior.names)))
    logits, target = batch(seed, 4.0, mask, prior, torch.float64)
    value, gradient = value_and_gradient(loss, prior, logits, target)
    exact = logits.clone().requires_grad_()
    expected = reference(loss, exact, target)
    (slope,) = torch.autograd.grad(expected, exact)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, slope, rtol=1e-6, atol=1e-9)


@settings(max_examples=40)
@given(seed=seeds, prior=PRIORS, reduction=reductions)
def test_lovasz_float32_gradient(reference, seed, prior, reduction):
    """On errors too far apart for rounding to swap two: where they tie, the subgradient is not unique."""
    random = torch.Generator().manual_seed(seed)
    count = 3 * prior.channels * 20
    step = 8 / (count - 2.5)  # no logit is the negative of another
    logits = (torch.arange(count) * step - 4)[torch.randperm(count, generator=random)]
    logits = logits.view(3, prior.channels, 4, 5)
    target = torch.randint(0, len(prior.names), (3, 4, 5), generator=random)
    target[0, 0] = 255
    value, gradient = value_and_gradient(Lovasz(reduction=reduction), prior, logits, target)
    exact = logits.double().requires_grad_()
    expected = reference(Lovasz(reduction=reduction), exact, target)
    (slope,) = torch.autograd.grad(expected, exact)
    torch.testing.assert_close(value.double(), expected.detach(), rtol=1e-5, atol=1e-6)
    assert (gradient.double() - slope).abs().max() <= 1e-4 * slope.abs().max()


@settings(max_examples=60)
@given(data=st.data(), prior=PRIORS, seed=seeds, mask=masks)
def test_permuting_pixels_and_images_changes_nothing(data, prior, seed, mask):
    loss = data.draw(terms(len(prior.names)))
    logits, target = batch(seed, 3.0, mask, prior, torch.float64)
    value, gradient = value_and_gradient(loss, prior, logits, target)
    images, _, height, width = logits.shape
    random = torch.Generator().manual_seed(seed + 1)
    order, pixels = torch.randperm(images, generator=random), torch.randperm(height * width, generator=random)
    moved = logits[order].flatten(2)[..., pixels].view_as(logits)
    moved_target = target[order].flatten(1)[..., pixels].view_as(target)
    moved_value, moved_gradient = value_and_gradient(loss, prior, moved, moved_target)
    torch.testing.assert_close(moved_value, value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        moved_gradient, gradient[order].flatten(2)[..., pixels].view_as(logits), rtol=1e-8, atol=1e-12
    )


@examples
@given(loss=regions, prior=PRIORS, seed=seeds, scale=scales, mask=masks)
def test_region_distances_lie_between_0_and_1(loss, prior, seed, scale, mask):
    value, _ = value_and_gradient(loss, prior, *batch(seed, scale, mask, prior))
    assert 0.0 <= value <= 1.0


@settings(max_examples=60)
@given(data=st.data(), prior=PRIORS, seed=seeds, scale=scales)
def test_all_ignored_is_zero_with_a_zero_gradient(data, prior, seed, scale):
    loss = data.draw(terms(len(prior.names)))
    value, gradient = value_and_gradient(loss, prior, *batch(seed, scale, "ignored", prior))
    assert value == 0
    assert (gradient == 0).all()


@settings(max_examples=60)
@given(data=st.data(), prior=PRIORS, seed=seeds, mask=st.sampled_from(("random", "background")))
def test_ignored_pixels_count_nowhere(data, prior, seed, mask):
    """Neither their logits, nor how many there are."""
    loss = data.draw(terms(len(prior.names)))
    logits, target = batch(seed, 3.0, mask, prior, torch.float64)
    value, gradient = value_and_gradient(loss, prior, logits, target)
    ignored = (target == 255)[:, None].expand_as(logits)
    assert (gradient[ignored] == 0).all()
    torch.testing.assert_close(
        value_and_gradient(loss, prior, torch.where(ignored, 37.0, logits), target)[0], value
    )
    wider = torch.cat([logits, torch.randn_like(logits)], 3)
    wider_target = torch.cat([target, torch.full_like(target, 255)], 2)
    torch.testing.assert_close(value_and_gradient(loss, prior, wider, wider_target)[0], value)


@settings(max_examples=60)
@given(data=st.data(), prior=PRIORS, seed=seeds)
def test_a_false_positive_on_an_empty_tile_has_a_gradient(data, prior, seed):
    """In every term: pushing wrong foreground down lowers the loss though no true one is there."""
    loss = data.draw(st.one_of(pixelwise(len(prior.names)), regions, correlations, lovasz, hardest))
    if isinstance(loss, Tversky) and loss.alpha < 1e-3:  # it was asked not to mind false positives
        return
    if getattr(loss, "label_smoothing", 0.0):  # it was asked to keep some probability on every class
        return
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, prior.channels, 4, 4, generator=random).mul_(0.1)
    logits[:, 0] -= 2.0 if prior.is_binary else -2.0
    logits[0, -1, 1, 1] = 3.0
    _, gradient = value_and_gradient(loss, prior, logits, torch.zeros(2, 4, 4, dtype=torch.int64))
    assert gradient[0, -1, 1, 1] > 0


@settings(max_examples=25)
@given(data=st.data(), prior=PRIORS, seed=seeds)
def test_gradcheck(data, prior, seed):
    loss = data.draw(terms(len(prior.names)))
    built = build_loss(loss, prior)
    logits, target = batch(seed, 1.0, "random", prior, torch.float64)
    logits, target = logits[:2, :, :2, :3].contiguous().requires_grad_(), target[:2, :2, :3]
    assert torch.autograd.gradcheck(lambda z: built(z, target), logits)


@settings(max_examples=30)
@given(data=st.data(), prior=PRIORS, seed=seeds)
def test_masks_of_bytes_and_channels_last_logits_give_the_same(data, prior, seed):
    loss = data.draw(terms(len(prior.names)))
    logits, target = batch(seed, 2.0, "random", prior, torch.float64)
    value, gradient = value_and_gradient(loss, prior, logits, target)
    other, other_gradient = value_and_gradient(
        loss, prior, logits.to(memory_format=torch.channels_last), target.to(torch.uint8)
    )
    torch.testing.assert_close(other, value)
    torch.testing.assert_close(other_gradient, gradient)


shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))


@examples
@given(data=st.data(), prior=PRIORS, seed=seeds, shape=shapes, ignored=st.sampled_from((0.0, 0.3, 1.0)))
def test_any_shape(reference, data, prior, seed, shape, ignored):
    loss = data.draw(terms(len(prior.names)))
    random = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(shape[0], prior.channels, *shape[1:], generator=random, dtype=torch.float64)
    target = torch.randint(0, len(prior.names), shape, generator=random)
    target[torch.rand(shape, generator=random) < ignored] = 255
    value, gradient = value_and_gradient(loss, prior, logits, target)
    assert gradient.isfinite().all()
    torch.testing.assert_close(value, reference(loss, logits, target), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("loss", [SoftJaccard(), TopKCrossEntropy()], ids=str)
@pytest.mark.parametrize("prior", [TWO, FOUR], ids=["binary", "multiclass"])
def test_a_mask_of_ten_thousand_objects(reference, loss, prior):
    random = torch.Generator().manual_seed(0)
    target = torch.zeros(1, 200, 200, dtype=torch.int64)
    target[:, ::2, ::2] = torch.randint(1, len(prior.names), (1, 100, 100), generator=random)
    logits = torch.randn(1, prior.channels, 200, 200, generator=random)
    value, _ = value_and_gradient(loss, prior, logits, target)
    torch.testing.assert_close(value.double(), reference(loss, logits, target), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float64])
@pytest.mark.parametrize("prior", [TWO, FOUR], ids=["binary", "multiclass"])
def test_the_mask_is_left_alone(prior, dtype):
    logits, target = batch(0, 2.0, "random", prior, torch.float64)
    given = target.to(dtype)
    value_and_gradient(Jaccard(), prior, logits, given)
    assert (given == target).all()
