"""One compiled graph serves every trial: parameters are tensors, so changing them compiles nothing anew."""

from __future__ import annotations

from collections.abc import Callable

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


FAMILIES: dict[str, Callable[[float], Loss]] = {
    "weighted_ce": lambda x: WeightedCrossEntropy(weights=FrequencyWeights(power=x)),
    "focal": lambda x: Focal(gamma=5 * x, alpha=x),
    "lovasz": lambda x: Lovasz(),
    "pixelwise": lambda x: weighted(
        (1.0, CrossEntropy(label_smoothing=x)), (x, Focal(gamma=x, weights=FrequencyWeights(power=x)))
    ),
    "everything": lambda x: weighted(
        (x, CrossEntropy()),
        (1.0, Focal(gamma=x)),
        (x, Jaccard(smooth=x)),
        (1.0, Dice(smooth=x, reduction="image")),
        (1.0, Tversky(alpha=x, beta=1 - x)),
        (2.0, FocalTversky(gamma=x)),
        (x, Lovasz(reduction="image")),
        (1.0, MatthewsCorrelation(smooth=x)),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_changing_parameters_never_recompiles(family, two, four):
    for prior in (two, four):
        torch._dynamo.reset()
        counter = CompileCounterWithBackend("aot_eager")
        step = torch.compile(lambda loss, z, t: loss(z, t), backend=counter, fullgraph=True)
        compiled = None
        for x in (0.3, 0.55, 0.8):
            loss = build_loss(FAMILIES[family](x), prior)
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
