"""One compiled graph serves every trial: parameters are tensors, so changing them compiles nothing anew."""

from __future__ import annotations

import pytest
import torch
import torch._dynamo
from torch._dynamo.testing import CompileCounterWithBackend

from spaces.class_prior import ClassPrior
from spaces.loss_terms import (
    Compound,
    CrossEntropy,
    Dice,
    Focal,
    FocalTversky,
    FrequencyWeights,
    Jaccard,
    Loss,
    Lovasz,
    MatthewsCorrelation,
    Tversky,
    WeightedCrossEntropy,
    WeightedTerm,
)
from trainers.losses import build_loss


def weighted(*parts: tuple[float, Loss]) -> Compound:
    return Compound(sum=tuple(WeightedTerm(weight=weight, loss=loss) for weight, loss in parts))


def pixelwise(x: float, prior: ClassPrior) -> Loss:
    weights = FrequencyWeights(power=x)
    return weighted(
        (1.0, CrossEntropy(label_smoothing=x)),
        (x, WeightedCrossEntropy(weights=weights)),
        (1.0, Focal(gamma=5 * x, alpha=x)),
        (x, Focal(gamma=x, weights=weights)),
    )


def regions(x: float, prior: ClassPrior) -> Loss:
    return weighted(
        (x, Jaccard(smooth=x)),
        (1.0, Dice(smooth=x, reduction="image")),
        (2.0, FocalTversky(alpha=x, beta=1 - x, gamma=x)),
        (1.0, MatthewsCorrelation(smooth=x)),
    )


def everything(x: float, prior: ClassPrior) -> Loss:
    # Lovasz unrolls over images and classes: one of the two is enough to wait for.
    return weighted(
        (x, CrossEntropy()),
        (1.0, Focal(gamma=x)),
        (x, Tversky(alpha=x, beta=1 - x)),
        (x, Lovasz(reduction="image" if prior.is_binary else "batch")),
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", [pixelwise, regions, everything])
def test_changing_parameters_never_recompiles(family, two, four):
    for prior in (two, four):
        torch._dynamo.reset()
        counter = CompileCounterWithBackend("aot_eager")
        step = torch.compile(lambda loss, z, t: loss(z, t), backend=counter, fullgraph=True)
        compiled = None
        for x in (0.3, 0.55, 0.8):
            loss = build_loss(family(x, prior), prior)
            value, gradient = _run(step, loss, prior)
            plain, plain_gradient = _run(lambda loss, z, t: loss(z, t), loss, prior)
            torch.testing.assert_close(value, plain, rtol=1e-5, atol=1e-7)
            torch.testing.assert_close(gradient, plain_gradient, rtol=1e-4, atol=1e-7)
            compiled = compiled or counter.frame_count
            assert counter.frame_count == compiled, f"recompiled at {x}"
    torch._dynamo.reset()


def _run(step, loss, prior: ClassPrior) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(2, prior.channels, 8, 8, requires_grad=True)
    target = torch.randint(0, len(prior.names), (2, 8, 8))
    target[0, 0] = 255
    value = step(loss, logits, target)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient
