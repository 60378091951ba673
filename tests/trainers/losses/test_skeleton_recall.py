"""Skeleton Recall against its authors' code, and what it asks for that overlap does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from skimage.morphology import dilation, skeletonize
from torch import Tensor

from lossweep.spaces.class_prior import IGNORE_INDEX, ClassPrior
from lossweep.spaces.losses.terms import Jaccard, SkeletonRecall
from lossweep.trainers.losses import build_loss
from tests.trainers.losses.gradients import value_and_gradient

TWO = ClassPrior(names=("background", "crack"), frequencies=(0.9, 0.1))
FOUR = ClassPrior(names=("background", "road", "river", "rail"), frequencies=(0.6, 0.25, 0.1, 0.05))
priors = st.sampled_from((TWO, FOUR))
reductions = st.sampled_from(("batch", "image"))


def batch(seed: int, prior: ClassPrior, size: tuple[int, int, int], ignored: float) -> tuple[Tensor, Tensor]:
    """Logits and masks of thick lines."""
    random = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size[0], prior.channels, *size[1:], generator=random, dtype=torch.float64)
    target = torch.zeros(size, dtype=torch.int64)
    for image in target:
        for index in range(1, len(prior.names)):
            row = int(torch.randint(0, size[1], (1,), generator=random))
            image[row : row + 4] = index
            column = int(torch.randint(0, size[2], (1,), generator=random))
            image[:, column : column + 3] = index
    target[torch.rand(size, generator=random) < ignored] = 255
    return logits, target


def authors(logits: Tensor, target: Tensor, smooth: float, reduction: str) -> Tensor:
    """SkeletonTransform and SoftSkeletonRecallLoss of github.com/MIC-DKFZ/Skeleton-Recall, plus 1."""
    z = torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits
    known = target != 255
    seg_all = torch.where(known, target, 0).numpy()
    skeletons = []
    for seg in seg_all:
        bin_seg = seg > 0
        skel = np.zeros_like(bin_seg, dtype=np.int16)
        if bin_seg.any():
            skel = (skeletonize(bin_seg) > 0).astype(np.int16)
            skel = dilation(dilation(skel)) * seg.astype(np.int16)
        skeletons.append(torch.from_numpy(skel.astype(np.int64)))
    x = z.softmax(1)[:, 1:]
    y = torch.nn.functional.one_hot(torch.stack(skeletons), z.shape[1]).movedim(-1, 1)[:, 1:].double()
    found, sizes = (x * y).sum((2, 3)), y.sum((2, 3))
    if reduction == "batch":
        found, sizes = found.sum(0), sizes.sum(0)
    return 1 - ((found + smooth) / (sizes + smooth).clip(1e-8)).mean()


@settings(max_examples=50)
@given(
    prior=priors,
    seed=st.integers(0, 9999),
    size=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    smooth=st.sampled_from((1e-5, 1.0)),
    reduction=reductions,
    ignored=st.sampled_from((0.0, 0.1)),
)
def test_value_and_gradient_are_the_authors(prior, seed, size, smooth, reduction, ignored):
    logits, target = batch(seed, prior, size, ignored)
    # Of an image that is ignored whole the authors' mean knows; ours is over those that say anything.
    assume(bool((target != IGNORE_INDEX).flatten(1).any(dim=1).all()))
    loss = build_loss(SkeletonRecall(smooth=smooth, reduction=reduction), prior)
    mine = value_and_gradient(loss, logits, target)
    theirs = value_and_gradient(lambda z, t: authors(z, t, smooth, reduction), logits, target)
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)


@settings(max_examples=40)
@given(
    prior=priors, seed=st.integers(0, 9999), scale=st.sampled_from((1.0, 30.0, 1000.0)), reduction=reductions
)
def test_float32_is_near_float64_and_finite(prior, seed, scale, reduction):
    logits, target = batch(seed, prior, (2, 12, 12), 0.1)
    logits = (logits * scale).clamp(-120, 120).float()
    loss = build_loss(SkeletonRecall(reduction=reduction), prior)
    value, gradient = value_and_gradient(loss, logits, target)
    exact, slope = value_and_gradient(lambda z, t: authors(z, t, 1e-5, reduction), logits.double(), target)
    assert 0 <= value <= 1
    torch.testing.assert_close(value.double(), exact, rtol=1e-4, atol=2e-6)
    assert (gradient.double() - slope).abs().max() <= 1e-4 * slope.abs().max() + 1e-7


@pytest.mark.parametrize("prior", [TWO, FOUR], ids=["two", "four"])
def test_gradients_are_the_derivatives(prior):
    logits, target = batch(0, prior, (2, 4, 5), 0.1)
    loss = build_loss(SkeletonRecall(), prior)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits.requires_grad_())


@pytest.mark.parametrize("fill", [0, 255])
@pytest.mark.parametrize("reduction", ["batch", "image"])
def test_without_a_skeleton_it_is_zero(fill, reduction):
    loss = build_loss(SkeletonRecall(reduction=reduction), TWO)
    value, gradient = value_and_gradient(loss, torch.randn(2, 1, 5, 5), torch.full((2, 5, 5), fill))
    assert value == 0
    assert (gradient == 0).all()


def test_one_pixel_and_ten_thousand():
    loss = build_loss(SkeletonRecall(), TWO)
    assert loss(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1)).item() == pytest.approx(0.5, abs=1e-4)
    target = torch.zeros(1, 200, 200, dtype=torch.int64)
    target[:, ::2, ::2] = 1
    logits = torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        loss(logits, target).double(), authors(logits.double(), target, 1e-5, "batch"), rtol=1e-5, atol=0
    )


def test_the_width_of_a_wide_line_counts_less_than_its_length():
    """Missed: a thin branch of few pixels, or more pixels along the rim of the wide line."""
    target = torch.zeros(1, 40, 80, dtype=torch.int64)
    target[:, 5:25, 5:75] = 1
    target[:, 30:32, 5:75] = 1
    branch, rim = target.clone(), target.clone()
    branch[:, 30:32, 5:75] = 0  # 140 pixels
    rim[:, 5:7, 5:75] = rim[:, 23:25, 5:75] = 0  # 280 pixels

    def value(loss, shown: Tensor) -> float:
        return build_loss(loss, TWO)(torch.where(shown == 1, 9.0, -9.0)[:, None], target).item()

    assert value(SkeletonRecall(), branch) > 3 * value(SkeletonRecall(), rim)
    assert value(Jaccard(), branch) < value(Jaccard(), rim)
