"""What is rejected before training, by its figures on the rehearsal batch."""

from __future__ import annotations

import math

import pytest

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.guards import Rehearsal, build_guards
from lossweep.trainers.guards.rules.rejected import RejectedSpec
from lossweep.trainers.guards.spec import GuardSpec

PRIOR = ClassPrior(names=("ground", "car"), frequencies=(0.99, 0.01))


@pytest.mark.parametrize(
    ("loss", "gradient", "said"),
    [
        (0.7, 0.5, ""),
        (0.7, 1e-10, ""),
        (0.7, 1e9, ""),
        (1.0, 0.0, "the loss has no gradient before any training: it is 1 and its gradient by the logits 0"),
        (1.0, 9e-11, "the loss has no gradient"),
        (1e12, 2e9, "the loss explodes"),
        (math.inf, 0.5, "the loss is not finite"),
        (0.7, math.nan, "the loss is not finite"),
    ],
)
def test_by_its_gradient(loss: float, gradient: float, said: str) -> None:
    verdict = build_guards(GuardSpec(), PRIOR).on_rehearsal(Rehearsal(loss, gradient))
    if not said:
        assert verdict is None
        return
    assert verdict is not None
    assert verdict.message.startswith(said)
    assert (verdict.rule, verdict.step, verdict.phase) == ("rejected", 0, 0)
    assert verdict.figures.keys() == {"loss", "gradient"}


def test_thresholds_are_the_specs() -> None:
    strict = build_guards(GuardSpec(rejected=RejectedSpec(least=0.1, most=1.0)), PRIOR)
    assert [strict.on_rehearsal(Rehearsal(1.0, g)) is None for g in (0.05, 0.5, 2.0)] == [False, True, False]
    assert build_guards(GuardSpec(rejected=None), PRIOR).on_rehearsal(Rehearsal(1.0, 0.0)) is None
