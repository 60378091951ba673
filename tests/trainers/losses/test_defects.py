"""The defects found in well-known libraries, case by case: each shown to be there, and not to be here.

When a library mends one, the half of the test about it fails: then take that half, and its line in
docs/losses.md, out.
"""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from monai.losses import DiceLoss as MonaiDice
from monai.losses import FocalLoss as MonaiFocal
from torch import Tensor

from lossweep.spaces.losses.terms import (
    CrossEntropy,
    Dice,
    Focal,
    FocalTversky,
    Jaccard,
    Lovasz,
    Tversky,
    WeightedCrossEntropy,
)
from lossweep.trainers.losses import build_loss


def gradient(loss, logits: Tensor, target: Tensor) -> Tensor:
    logits = logits.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(logits, target), logits)
    return slope


@pytest.mark.parametrize("gamma", [0.3, 0.5, 0.9])
def test_focal_below_gamma_1_has_no_nan_gradient_at_a_saturated_pixel(two, gamma):
    logits, target = torch.tensor([[[[120.0, -1.0, 0.5]]]]), torch.tensor([[[1, 0, 1]]])
    theirs = smp.losses.FocalLoss("binary", gamma=gamma)
    assert theirs(logits, target).isfinite()  # the loss looks normal
    assert gradient(theirs, logits, target).isnan().any()
    assert gradient(build_loss(Focal(gamma=gamma), two), logits, target).isfinite().all()


@pytest.mark.parametrize("gamma", [0.3, 0.5, 0.9])
def test_softmax_focal_below_gamma_1_has_no_nan_gradient(four, gamma):
    logits = torch.tensor([[[[120.0, 1.0]], [[0.0, 2.0]], [[0.0, -1.0]], [[-3.0, 0.0]]]])
    target = torch.tensor([[[0, 2]]])
    theirs = MonaiFocal(gamma=gamma, use_softmax=True, to_onehot_y=True)
    assert not gradient(theirs, logits, target[:, None]).isfinite().all()
    assert gradient(build_loss(Focal(gamma=gamma), four), logits, target).isfinite().all()


def test_focal_tversky_below_gamma_1_has_no_nan_gradient_on_background(two):
    logits, target = torch.full((1, 1, 4, 4), -3.0), torch.zeros(1, 4, 4, dtype=torch.int64)
    theirs = smp.losses.TverskyLoss("binary", gamma=0.75)
    assert gradient(theirs, logits, target).isnan().any()
    mine = gradient(build_loss(FocalTversky(gamma=0.75), two), logits, target)
    assert mine.isfinite().all()
    assert (mine > 0).all()
    perfect = gradient(build_loss(FocalTversky(gamma=0.75), two), torch.full_like(logits, -120.0), target)
    assert perfect.isfinite().all()


def test_the_intersection_is_not_taken_by_cancellation(two):
    """A few objects on large tiles: (a + b - |a - b|) / 2 in float32 loses them, and their gradient."""
    torch.manual_seed(0)
    logits, target = torch.randn(4, 1, 512, 512) - 0.5, torch.zeros(4, 512, 512, dtype=torch.int64)
    target[:, 0, :2] = 1
    wrong = (target == 0)[:, None]
    theirs, mine = smp.losses.JaccardLoss("binary"), build_loss(Jaccard(smooth=1e-6), two)
    exact = gradient(mine, logits.double(), target)[wrong].sum()
    assert abs(gradient(mine, logits, target)[wrong].double().sum() / exact - 1) < 1e-5
    assert abs(gradient(theirs, logits, target)[wrong].double().sum() / exact - 1) > 0.1


@pytest.mark.parametrize("loss", [Jaccard(), Dice(), Tversky()])
def test_pure_float16_does_not_overflow(two, loss):
    torch.manual_seed(0)
    logits = torch.randn(2, 1, 400, 400).half()
    target = torch.randint(0, 2, (2, 400, 400))
    theirs = {
        "jaccard": smp.losses.JaccardLoss("binary", smooth=1.0),
        "dice": smp.losses.DiceLoss("binary", smooth=1.0),
        "tversky": smp.losses.TverskyLoss("binary", smooth=1.0),
    }[loss.term]
    assert not theirs(logits, target).isfinite()
    mine = build_loss(loss, two)
    assert abs(mine(logits, target) - mine(logits.double(), target)) < 1e-5
    assert gradient(mine, logits, target).isfinite().all()


@pytest.mark.parametrize("reduction", ["batch", "image"])
@pytest.mark.parametrize(
    ("term", "name"), [(Jaccard, "JaccardLoss"), (Dice, "DiceLoss"), (Tversky, "TverskyLoss")]
)
def test_empty_tiles_punish_false_positives(two, term, name, reduction):
    torch.manual_seed(0)
    logits, target = torch.randn(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    theirs = getattr(smp.losses, name)("binary", smooth=1.0)
    assert (gradient(theirs, logits, target) == 0).all()
    assert (gradient(build_loss(term(reduction=reduction), two), logits, target) > 0).all()


def test_multiclass_focal_is_over_the_softmax(four):
    """A softmax does not mind a constant added to all logits; one-vs-rest sigmoids do."""
    torch.manual_seed(0)
    logits, target = torch.randn(1, 4, 5, 5), torch.randint(0, 4, (1, 5, 5))
    theirs, mine = smp.losses.FocalLoss("multiclass", gamma=2.0), build_loss(Focal(gamma=2.0), four)
    assert abs(theirs(logits + 3, target) - theirs(logits, target)) > 0.1
    torch.testing.assert_close(mine(logits + 3, target), mine(logits, target), rtol=1e-5, atol=1e-6)


def test_class_weights_hold_for_two_classes(two):
    logits, target = torch.randn(1, 1, 4, 4), torch.randint(0, 2, (1, 4, 4))
    with pytest.raises(ValueError, match="class_weights"):
        smp.losses.FocalLoss("binary", class_weights=[1.0, 3.0])
    loss = build_loss(Focal(gamma=0.0, weights=(1.0, 3.0)), two)
    weighted = build_loss(WeightedCrossEntropy(weights=(1.0, 3.0)), two)
    torch.testing.assert_close(loss(logits, target), weighted(logits, target))


def test_the_mean_is_over_labelled_pixels(two, four):
    torch.manual_seed(0)
    for prior, theirs in (
        (two, lambda z, t: smp.losses.SoftBCEWithLogitsLoss(ignore_index=255)(z[:, 0], t.float())),
        (four, smp.losses.SoftCrossEntropyLoss(ignore_index=255, smooth_factor=0.0)),
    ):
        logits, target = torch.randn(1, prior.channels, 4, 4), torch.randint(0, 2, (1, 4, 4))
        kept = build_loss(CrossEntropy(), prior)(logits[:, :, :2], target[:, :2])
        target[:, 2:] = 255
        torch.testing.assert_close(theirs(logits, target), kept / 2)  # half the pixels are ignored
        torch.testing.assert_close(build_loss(CrossEntropy(), prior)(logits, target), kept)


def test_an_all_ignored_batch_is_0(two, four):
    for prior, mode in ((two, "binary"), (four, "multiclass")):
        logits, target = torch.randn(2, prior.channels, 4, 4), torch.full((2, 4, 4), 255)
        assert smp.losses.FocalLoss(mode, ignore_index=255)(logits, target).isnan()
        for loss in (Focal(), CrossEntropy(), Lovasz(), Jaccard()):
            built = build_loss(loss, prior)
            assert built(logits, target) == 0
            assert (gradient(built, logits, target) == 0).all()
    assert F.cross_entropy(logits, target, ignore_index=255).isnan()  # and so does torch
    assert smp.losses.LovaszLoss("multiclass", ignore_index=255)(logits, target).ndim  # not a scalar


def test_lovasz_increments_do_not_cancel(two):
    """Each pixel's share of the Jaccard distance is about 1e-6: neighbors in float32 differ by noise."""
    torch.manual_seed(0)
    logits, target = torch.randn(2, 1, 256, 256), torch.randint(0, 2, (2, 256, 256))
    theirs, mine = smp.losses.LovaszLoss("binary", per_image=False), build_loss(Lovasz(), two)
    exact = gradient(mine, logits.double(), target)
    off = lambda slope: ((slope.double() - exact).abs().median() / exact.abs().median()).item()  # noqa: E731
    assert off(gradient(mine, logits, target)) < 1e-6
    assert off(gradient(theirs, logits, target)) > 1e-3


def test_saturated_false_positives_keep_their_digits(two):
    """1 - sigmoid(15) in float32 is off by a tenth, and so is the gradient of whoever subtracts."""
    logits, target = torch.full((1, 1, 8, 8), 15.0), torch.zeros(1, 8, 8, dtype=torch.int64)
    target[0, 0, 0] = 1
    mine = build_loss(Jaccard(), two)
    theirs = lambda z, t: MonaiDice(sigmoid=True, jaccard=True, batch=True)(z, t[:, None])  # noqa: E731
    exact = gradient(mine, logits.double(), target)
    torch.testing.assert_close(gradient(mine, logits, target).double(), exact, rtol=1e-5, atol=0)
    assert (
        gradient(theirs, logits, target).double() / gradient(theirs, logits.double(), target) - 1
    ).abs().max() > 0.1
