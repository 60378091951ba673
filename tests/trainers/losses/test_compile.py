"""One compiled graph serves every trial: parameters are tensors, so changing them compiles nothing anew."""

from __future__ import annotations

import pytest
import torch
import torch._dynamo
from torch._dynamo.testing import CompileCounterWithBackend

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.ramp import Ramp, settled
from lossweep.spaces.losses.terms import (
    Compound,
    Dice,
    Focal,
    FocalTversky,
    FrequencyWeights,
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


def weighted(*parts: tuple[float | Ramp, Loss]) -> Compound:
    return Compound(sum=tuple(WeightedTerm(weight=weight, loss=loss) for weight, loss in parts))


def every_family(x: float, prior: ClassPrior) -> Loss:
    """All modules once, with all their parameters; benchmarks/losses.py counts for each term alone."""
    return weighted(
        (x, WeightedCrossEntropy(weights=FrequencyWeights(power=x), label_smoothing=x)),
        (1.0, Focal(gamma=x, alpha=x, weights=FrequencyWeights(power=x))),
        (x, Tversky(alpha=x, beta=1 - x, smooth=x)),
        (2.0, FocalTversky(alpha=x, beta=1 - x, gamma=x, reduction="image")),
        (1.0, MatthewsCorrelation(smooth=x)),
        (1.0, TopKCrossEntropy(share=x, threshold=x)),
        (x, SoftJaccard(smooth=x, label_smoothing=x)),
        # Unrolled over images and classes: one of the two is enough to wait for.
        (x, Lovasz(reduction="image" if prior.is_binary else "batch")),
    )


@pytest.mark.slow
def test_changing_parameters_never_recompiles(two, four):
    for prior in (two, four):
        torch._dynamo.reset()
        counter = CompileCounterWithBackend("aot_eager")
        step = torch.compile(lambda loss, z, t: loss(z, t), backend=counter, fullgraph=True)
        compiled = None
        for x in (0.3, 0.55, 0.8):
            loss = build_loss(every_family(x, prior), prior)
            value, gradient = _run(step, loss, prior)
            plain, plain_gradient = _run(lambda loss, z, t: loss(z, t), loss, prior)
            torch.testing.assert_close(value, plain, rtol=1e-5, atol=1e-7)
            torch.testing.assert_close(gradient, plain_gradient, rtol=1e-4, atol=1e-7)
            compiled = compiled or counter.frame_count
            assert counter.frame_count == compiled, f"recompiled at {x}"
    torch._dynamo.reset()


@pytest.mark.slow
def test_a_ramp_never_recompiles(two, four):
    for prior in (two, four):
        torch._dynamo.reset()
        counter = CompileCounterWithBackend("aot_eager")
        step = torch.compile(lambda loss, z, t: loss(z, t), backend=counter, fullgraph=True)
        loss = build_loss(RAMPED, prior)
        steps, compiled = loss.along([0.0, 0.4, 1.0]), None
        for index, share in enumerate((0.0, 0.4, 1.0)):
            steps.set(index)
            value, gradient = _run(step, loss, prior)
            plain = build_loss(settled(RAMPED, share), prior)
            expected, expected_gradient = _run(lambda loss, z, t: loss(z, t), plain, prior)
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
            torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-7)
            compiled = compiled or counter.frame_count
            assert counter.frame_count == compiled, f"recompiled at {share}"
    torch._dynamo.reset()


RAMPED = weighted(
    (Ramp(0.0, 1.0), Dice()),
    (2.0, Focal(gamma=Ramp(0.0, 2.0), alpha=Ramp(0.2, 0.8, "cosine"))),
    (1.0, WeightedCrossEntropy(weights=FrequencyWeights(power=Ramp(1.0, 0.0)))),
)


def _run(step, loss, prior: ClassPrior) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(2, prior.channels, 8, 8, requires_grad=True)
    target = torch.randint(0, len(prior.names), (2, 8, 8))
    target[0, 0] = 255
    value = step(loss, logits, target)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient
