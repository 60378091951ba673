"""The same numbers as well-known implementations where those are right, in float64."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from monai.losses import DiceLoss, FocalLoss, MCCLoss, TverskyLoss
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

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
    Tversky,
    WeightedCrossEntropy,
    WeightedTerm,
)
from lossweep.trainers.losses import build_loss


@pytest.fixture
def binary() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return 3 * torch.randn(3, 1, 8, 9, dtype=torch.float64), torch.randint(0, 2, (3, 8, 9))


@pytest.fixture
def multiclass() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return 3 * torch.randn(3, 4, 8, 9, dtype=torch.float64), torch.randint(0, 4, (3, 8, 9))


def agree(loss: Loss, prior: ClassPrior, theirs, logits: Tensor, target: Tensor) -> None:
    """Values and gradients are the same."""
    a, b = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    mine, other = build_loss(loss, prior)(a, target), theirs(b, target)
    torch.testing.assert_close(mine, other.double(), rtol=1e-7, atol=1e-9)
    mine.backward()
    other.backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(two, four, binary, multiclass, smoothing):
    multiclass[1][0, :2] = 255
    agree(
        CrossEntropy(label_smoothing=smoothing),
        four,
        lambda z, t: F.cross_entropy(z, t, ignore_index=255, label_smoothing=smoothing),
        *multiclass,
    )
    soft = lambda t: (t * (1 - smoothing) + smoothing / 2).double()  # noqa: E731  (a formula, used once)
    agree(
        CrossEntropy(label_smoothing=smoothing),
        two,
        lambda z, t: F.binary_cross_entropy_with_logits(z[:, 0], soft(t)),
        *binary,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weighted_cross_entropy_is_torchs(two, four, binary, multiclass, smoothing):
    multiclass[1][1, 3:] = 255
    weights = (1.0, 2.5, 10.0, 0.0)
    vector = torch.tensor(weights, dtype=torch.float64)
    agree(
        WeightedCrossEntropy(weights=weights, label_smoothing=smoothing),
        four,
        lambda z, t: F.cross_entropy(z, t, vector, ignore_index=255, label_smoothing=smoothing),
        *multiclass,
    )
    # Two classes, as torch has it with two channels; BCE's pos_weight does not divide by the weights' sum.
    agree(
        WeightedCrossEntropy(weights=(1.0, 7.0), label_smoothing=smoothing),
        two,
        lambda z, t: F.cross_entropy(
            torch.cat([torch.zeros_like(z), z], 1),
            t,
            torch.tensor([1.0, 7.0], dtype=torch.float64),
            label_smoothing=smoothing,
        ),
        *binary,
    )
    if not smoothing:
        share = lambda t: (1 + 6.0 * t).sum() / t.numel()  # noqa: E731  (a formula, used once)
        agree(
            WeightedCrossEntropy(weights=(1.0, 7.0)),
            two,
            lambda z, t: (
                F.binary_cross_entropy_with_logits(z[:, 0], t.double(), pos_weight=torch.tensor(7.0))
                / share(t)
            ),
            *binary,
        )


@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_focal_is_torchvisions_monais_and_smps(two, four, binary, multiclass, gamma, alpha):
    loss = Focal(gamma=gamma, alpha=alpha)
    agree(
        loss,
        two,
        lambda z, t: sigmoid_focal_loss(
            z[:, 0], t.double(), alpha=-1 if alpha is None else alpha, gamma=gamma
        ).mean(),
        *binary,
    )
    agree(loss, two, smp.losses.FocalLoss("binary", gamma=gamma, alpha=alpha), *binary)
    # MONAI's mean is over classes as well, and it casts to float32.
    theirs = FocalLoss(gamma=gamma, alpha=alpha, use_softmax=True, to_onehot_y=True)
    logits, target = multiclass
    logits.requires_grad_()
    mine, other = build_loss(loss, four)(logits, target), 4 * theirs(logits, target[:, None])
    torch.testing.assert_close(mine.float(), other, rtol=1e-5, atol=1e-7)
    a, b = (torch.autograd.grad(value, logits)[0] for value in (mine, other))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_focal_with_gamma_0_is_cross_entropy(two, four, binary, multiclass):
    for prior, (logits, target) in ((two, binary), (four, multiclass)):
        agree(Focal(gamma=0.0), prior, build_loss(CrossEntropy(), prior), logits, target)
        weights = tuple(float(k + 1) for k in range(len(prior.names)))
        weighted = build_loss(WeightedCrossEntropy(weights=weights), prior)
        agree(Focal(gamma=0.0, weights=weights), prior, weighted, logits, target)


@pytest.mark.parametrize("reduction", ["batch", "image"])
@pytest.mark.parametrize("smooth", [1e-3, 1.0])
def test_regions_are_monais(two, four, binary, multiclass, reduction, smooth):
    for prior, (logits, target), form in (
        (two, binary, {"sigmoid": True}),
        (four, multiclass, {"softmax": True, "to_onehot_y": True}),
    ):
        form = {**form, "batch": reduction == "batch"}
        same = {"smooth_nr": smooth, "smooth_dr": smooth}
        twice = {"smooth_nr": 2 * smooth, "smooth_dr": 2 * smooth}  # MONAI's Jaccard doubles TP, FP and FN
        cases = (
            (Dice(smooth=smooth, reduction=reduction), DiceLoss(**form, **same)),
            (Jaccard(smooth=smooth, reduction=reduction), DiceLoss(jaccard=True, **form, **twice)),
            (
                Tversky(alpha=0.2, beta=0.9, smooth=smooth, reduction=reduction),
                TverskyLoss(alpha=0.2, beta=0.9, **form, **same),
            ),
        )
        for loss, theirs in cases:
            agree(loss, prior, lambda z, t, theirs=theirs: theirs(z, t[:, None].double()), logits, target)


def test_regions_are_smps_away_from_its_defects(two, four, binary, multiclass):
    binary[1][0, :3] = 255
    multiclass[1][0, :3] = 255
    losses = smp.losses
    for prior, (logits, target), mode in ((two, binary, "binary"), (four, multiclass, "multiclass")):
        # SMP adds its smoothing to TP, as in Tversky; Dice's customary smoothing is added to 2 TP.
        ignoring = {"smooth": 1.0, "ignore_index": 255}
        agree(Dice(smooth=2.0), prior, losses.DiceLoss(mode, **ignoring), logits, target)
        agree(
            Tversky(alpha=0.3, beta=0.7),
            prior,
            losses.TverskyLoss(mode, alpha=0.3, beta=0.7, **ignoring),
            logits,
            target,
        )
        agree(Jaccard(), prior, losses.JaccardLoss(mode, smooth=1.0), logits, target.where(target != 255, 1))
    theirs = losses.TverskyLoss("binary", alpha=0.3, beta=0.7, gamma=1.5, **ignoring)
    logits, target = binary
    value = build_loss(FocalTversky(alpha=0.3, beta=0.7, gamma=1.5), two)(logits, target)
    torch.testing.assert_close(value, theirs(logits, target), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("reduction", ["batch", "image"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_soft_jaccard_is_its_authors(two, four, binary, multiclass, reduction, smoothing):
    """JDTLoss of Wang et al. (github.com/zifuwanggg/JDTLosses, losses/jdt_loss.py), all classes active."""
    binary[1][0, :3] = 255
    multiclass[1][0, :3] = 255

    def theirs(z: Tensor, t: Tensor) -> Tensor:
        z = torch.cat([torch.zeros_like(z), z], 1) if z.shape[1] == 1 else z
        classes, keep = z.shape[1], (t != 255).flatten(1)[:, None]
        one_hot = F.one_hot(t.clamp_max(classes - 1), classes).movedim(-1, 1).double()
        label = (one_hot * (1 - smoothing) + smoothing / classes).flatten(2) * keep
        prob = z.flatten(2).log_softmax(1).exp() * keep
        prob_card, label_card = prob.norm(1, 2), label.norm(1, 2)
        tp = (prob_card + label_card - (prob - label).norm(1, 2)) / 2
        counts = torch.stack([tp, prob_card - tp, label_card - tp])
        tp, fp, fn = counts.sum(1) if reduction == "batch" else counts
        tversky = 1 - (tp + 0.5) / (tp + fp + fn + 0.5)
        return tversky[..., 1 if classes == 2 else 0 :].mean()

    loss = SoftJaccard(smooth=0.5, reduction=reduction, label_smoothing=smoothing)
    for prior, batch in ((two, binary), (four, multiclass)):
        agree(loss, prior, theirs, *batch)


@pytest.mark.parametrize("reduction", ["batch", "image"])
def test_without_smoothing_soft_jaccard_is_jaccard(two, four, binary, multiclass, reduction):
    for prior, batch in ((two, binary), (four, multiclass)):
        soft = build_loss(SoftJaccard(label_smoothing=0.0, reduction=reduction), prior)
        agree(Jaccard(reduction=reduction), prior, soft, *batch)


def test_a_soft_label_that_is_met_costs_nothing_and_a_surer_one_something(two):
    logits = torch.logit(torch.tensor([0.95, 0.05], dtype=torch.float64)).view(1, 1, 1, 2)
    target = torch.tensor([[[1, 0]]])
    soft, hard = build_loss(SoftJaccard(), two), build_loss(Jaccard(), two)
    assert soft(logits, target).item() == pytest.approx(0.0, abs=1e-12)
    assert soft(2 * logits, target) > 0.01
    assert hard(2 * logits, target) < hard(logits, target)


def test_a_symmetric_unified_focal_loss_is_a_sum(two, four, binary, multiclass):
    """Yeung et al., 2022 (github.com/mlyg/unified-focal-loss), written out: gamma, delta and lambda."""
    gamma, delta, share = 0.3, 0.6, 0.4
    region = FocalTversky(alpha=1 - delta, beta=delta, gamma=1 - gamma, smooth=1e-7, reduction="image")
    parts = (
        WeightedTerm(weight=share, loss=region),
        WeightedTerm(weight=1 - share, loss=Focal(gamma=gamma, alpha=delta)),
    )
    for prior, (logits, target) in ((two, binary), (four, multiclass)):
        z = torch.cat([torch.zeros_like(logits), logits], 1) if prior.is_binary else logits
        p, truth = z.softmax(1), F.one_hot(target, len(prior.names)).movedim(-1, 1).double()
        weight = torch.where(target == 0, 1 - delta, delta)
        true = (p * truth).sum(1)
        focal = (weight * (1 - true) ** gamma * -true.log()).mean()
        tp, fp, fn = (each.sum((2, 3)) for each in (p * truth, p * (1 - truth), (1 - p) * truth))
        distance = (1 - (tp + 1e-7) / (tp + delta * fn + (1 - delta) * fp + 1e-7)) ** (1 - gamma)
        unified = share * distance[:, 1 if prior.is_binary else 0 :].mean() + (1 - share) * focal
        mine = build_loss(Compound(sum=parts), prior)(logits, target)
        torch.testing.assert_close(mine, unified, rtol=1e-3, atol=0)  # but for focal Tversky's 1e-6


@pytest.mark.parametrize("reduction", ["batch", "image"])
def test_lovasz_is_smps(two, four, binary, multiclass, reduction):
    binary[1][0, :3] = 255
    multiclass[1][0, :3] = 255
    for prior, (logits, target), mode in ((two, binary, "binary"), (four, multiclass, "multiclass")):
        theirs = smp.losses.LovaszLoss(mode, per_image=reduction == "image", ignore_index=255)
        # SMP counts in float32 even for float64 logits.
        a, b = logits.clone().requires_grad_(), logits.clone().requires_grad_()
        mine, other = build_loss(Lovasz(reduction=reduction), prior)(a, target), theirs(b.float(), target)
        torch.testing.assert_close(mine.float(), other, rtol=1e-5, atol=1e-6)
        mine.backward()
        other.backward()
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5)


def test_matthews_is_smps_and_nearly_monais(two, four, binary, multiclass):
    smp_mcc = smp.losses.MCCLoss(eps=0.5)
    agree(MatthewsCorrelation(smooth=0.5), two, lambda z, t: smp_mcc(z.sigmoid(), t.double()), *binary)
    monai_mcc = MCCLoss(softmax=True, to_onehot_y=True, batch=True, smooth_nr=0.0, smooth_dr=0.0)
    logits, target = multiclass
    value = build_loss(MatthewsCorrelation(smooth=1e-9), four)(logits, target)
    torch.testing.assert_close(value, monai_mcc(logits, target[:, None]), rtol=1e-7, atol=1e-9)


def test_a_compound_is_the_weighted_sum_of_its_terms(two, four, binary, multiclass):
    terms = (
        CrossEntropy(),
        WeightedCrossEntropy(weights=(1.0, 3.0), label_smoothing=0.1),
        Focal(gamma=0.5),
        Jaccard(),
        Lovasz(reduction="image"),
        MatthewsCorrelation(),
    )
    for prior, (logits, target) in ((two, binary), (four, multiclass)):
        fitting = [
            term.model_copy(update={"weights": (1.0, 3.0, 2.0, 0.5)[: len(prior.names)]})
            if isinstance(term, WeightedCrossEntropy)
            else term
            for term in terms
        ]
        parts = tuple(WeightedTerm(weight=0.5 + k, loss=term) for k, term in enumerate(fitting))
        apart = lambda z, t, parts=parts, prior=prior: torch.stack(  # noqa: E731  (bound to this turn)
            [part.weight * build_loss(part.loss, prior)(z, t) for part in parts]
        ).sum()
        agree(Compound(sum=parts), prior, apart, logits, target)
        named = build_loss(Compound(sum=parts), prior).parts(logits, target)
        assert list(named) == [part.loss.term for part in Compound(sum=parts).sum]
        torch.testing.assert_close(sum(named.values()), apart(logits, target))
