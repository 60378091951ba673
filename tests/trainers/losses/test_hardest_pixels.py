"""TopK and OHEM: which pixels count, whatever their order, their ties, and however k falls."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import CrossEntropy, TopKCrossEntropy
from lossweep.trainers.losses import build_loss
from lossweep.trainers.losses.families.topk import _smallest
from tests.trainers.losses.gradients import of_loss as value_and_gradient


def apart(prior: ClassPrior, seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Logits whose losses are too far from one another for rounding to swap two."""
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(60, generator=random).view(3, 1, 4, 5)
    target = torch.randint(0, len(prior.names), (3, 4, 5), generator=random)
    right = (order - 20) * 0.1  # of the true class against each other
    if prior.is_binary:
        return (right * (2 * target - 1)[:, None]).to(dtype), target
    return (F.one_hot(target, len(prior.names)).movedim(-1, 1) * right).to(dtype), target


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    share=st.floats(0.01, 1.0),
    threshold=st.none() | st.floats(0.05, 0.95),
    reduction=st.sampled_from(("batch", "image")),
    binary=st.booleans(),
)
def test_float32_agrees_with_a_float64_reference(
    reference, two, four, seed, share, threshold, reduction, binary
):
    prior = two if binary else four
    loss = TopKCrossEntropy(share=share, threshold=threshold, reduction=reduction)
    logits, target = apart(prior, seed)
    target[0, 0] = 255
    value, gradient = value_and_gradient(loss, prior, logits, target)
    exact = logits.double().requires_grad_()
    expected = reference(loss, exact, target)
    (slope,) = torch.autograd.grad(expected, exact)
    torch.testing.assert_close(value.double(), expected.detach(), rtol=1e-5, atol=1e-6)
    assert (gradient.double() - slope).abs().max() <= 1e-4 * slope.abs().max()


@pytest.mark.parametrize("percent", [5, 10, 45, 100])
def test_it_is_nnunets_topk_loss(two, four, percent):
    """Its TopKLoss, as it stands in nnunetv2/training/loss/robust_ce_loss.py, of softmax over two logits."""
    for prior in (two, four):
        logits, target = apart(prior, 1, torch.float64)
        z = torch.cat([torch.zeros_like(logits), logits], 1) if prior.is_binary else logits
        each = F.cross_entropy(z, target, reduction="none")
        theirs, _ = torch.topk(each.view(-1), int(each.numel() * percent / 100), sorted=False)
        mine = build_loss(TopKCrossEntropy(share=percent / 100), prior)(logits, target)
        torch.testing.assert_close(mine, theirs.mean())


@pytest.mark.parametrize(("threshold", "kept"), [(0.9, 42), (0.5, 20), (0.2, 12)])
def test_ohem_keeps_all_below_the_threshold_and_a_share_at_least(two, threshold, kept):
    """As OhemCrossEntropy of HRNet and mmsegmentation: p[t] < max(threshold, the k-th smallest)."""
    logits, target = apart(two, 2, torch.float64)
    loss = TopKCrossEntropy(share=12 / 60, threshold=threshold)
    value, gradient = value_and_gradient(loss, two, logits, target)
    probability = (logits[:, 0] * (2 * target - 1)).sigmoid()
    bar = max(threshold, probability.flatten().sort().values[12].item())
    hard = probability < bar
    assert hard.sum() == kept
    torch.testing.assert_close(value, -probability[hard].log().mean())
    assert ((gradient[:, 0] != 0) == hard).all()


@pytest.mark.parametrize("reduction", ["batch", "image"])
def test_the_share_1_is_cross_entropy(two, four, reduction):
    for prior in (two, four):
        logits, target = apart(prior, 3, torch.float64)
        mine = value_and_gradient(TopKCrossEntropy(share=1.0, reduction=reduction), prior, logits, target)
        for ours, theirs in zip(mine, value_and_gradient(CrossEntropy(), prior, logits, target), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_pixels_that_tie_for_the_last_places_share_them(two):
    logits = torch.tensor([[[[-3.0, -1.0, -1.0, -1.0, -1.0, 2.0]]]], dtype=torch.float64)
    value, gradient = value_and_gradient(TopKCrossEntropy(share=0.5), two, logits, torch.ones(1, 1, 6))
    losses = F.softplus(-logits.flatten())
    torch.testing.assert_close(value, (losses[0] + 2 * losses[1]) / 3)
    share = torch.tensor([1, 0.5, 0.5, 0.5, 0.5, 0], dtype=torch.float64) / 3
    torch.testing.assert_close(gradient.flatten(), -share * (-logits.flatten()).sigmoid())


def test_the_value_is_continuous_in_the_share(two):
    """A ramp of it has no steps: to the next of many shares it is never further than the slope allows."""
    logits, target = apart(two, 4, torch.float64)
    shares = torch.linspace(0.02, 1.0, 400).tolist()
    values = torch.stack([build_loss(TopKCrossEntropy(share=s), two)(logits, target) for s in shares])
    steps = values.diff()
    assert (steps <= 1e-12).all()  # the more pixels, the easier on the whole
    assert steps.abs().max() < 0.2
    jumps = values.diff().abs() / values[:-1] * torch.tensor(shares[:-1]) / (shares[1] - shares[0])
    assert jumps.max() <= 1.0 + 1e-9


def test_a_share_of_less_than_a_pixel_is_one(two):
    logits, target = apart(two, 5, torch.float64)
    value = build_loss(TopKCrossEntropy(share=1e-6), two)(logits, target)
    torch.testing.assert_close(value, F.softplus(-(logits[:, 0] * (2 * target - 1))).max())


def test_the_hardest_of_each_image(two):
    logits = torch.tensor([[[[5.0, 0.0]]], [[[1.0, -1.0]]], [[[9.0, 9.0]]]], dtype=torch.float64)
    target = torch.tensor([[[0, 0]], [[0, 0]], [[255, 255]]])
    value = build_loss(TopKCrossEntropy(share=0.5, reduction="image"), two)(logits, target)
    expected = (math.log1p(math.exp(5)) + math.log1p(math.exp(1))) / 2
    assert value.item() == pytest.approx(expected)
    value = build_loss(TopKCrossEntropy(share=0.25), two)(logits, target)
    assert value.item() == pytest.approx(math.log1p(math.exp(5)))


@settings(max_examples=50)
@given(data=st.data(), rows=st.integers(1, 4), columns=st.integers(1, 40))
def test_selecting_on_a_cpu_is_sorting(data, rows, columns):
    """What a GPU does by sorting, and a compiled graph, the CPU does by selecting."""
    numbers = st.lists(st.floats(-20, 0, width=32), min_size=columns, max_size=columns)
    values = torch.tensor(data.draw(st.lists(numbers, min_size=rows, max_size=rows)))
    rank = torch.tensor(data.draw(st.lists(st.integers(1, columns), min_size=rows, max_size=rows))).float()
    expected = values.sort(1).values.gather(1, rank.long().unsqueeze(1) - 1)
    assert torch.equal(_smallest(values, rank), expected)
