"""Masks that hold anything but class indices and 255 are refused, and a GPU is not waited for."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.losses.terms import KNOWN_TERMS, CrossEntropy, Jaccard, Term
from lossweep.trainers.losses import build_loss
from lossweep.trainers.losses.mask_values import Lookout, bounds, check_bounds

DTYPES = (torch.uint8, torch.int16, torch.int64, torch.float32)
built = pytest.mark.parametrize("term", KNOWN_TERMS, ids=lambda term: term.known_as())


def with_defaults(term: type[Term], classes: int) -> Term:
    required = {"weights": (1.0,) * classes, "loss": Jaccard()}
    asked = {name: required[name] for name, info in term.model_fields.items() if info.is_required()}
    return term.model_validate({"term": term.known_as(), **asked})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ignored", [False, True])
@built
def test_every_term_refuses_a_stray_value(
    term: type[Term], two: ClassPrior, four: ClassPrior, dtype: torch.dtype, ignored: bool
) -> None:
    for prior in (two, four):
        classes = len(prior.names)
        loss = build_loss(with_defaults(term, classes), prior)
        logits, target = torch.zeros(2, prior.channels, 3, 4), torch.zeros(2, 3, 4, dtype=dtype)
        if ignored:
            target[0, 0] = 255
        assert loss(logits, target).isfinite()
        for stray in (classes, 254, *((-1, -100, 256) if dtype != torch.uint8 else ())):
            wrong = target.clone()
            wrong[1, 1, 1] = stray
            allowed = f"found {stray}; allowed: 0 to {classes - 1}, and 255 for pixels to ignore"
            with pytest.raises(UserError, match=f"no class; {allowed}"):
                loss(logits, wrong)
            with pytest.raises(UserError, match="no class"):
                loss.parts(logits, wrong)


def test_both_ends_are_named(four: ClassPrior) -> None:
    target = torch.tensor([[[-1, 0, 255, 3, 17]]])
    with pytest.raises(UserError, match="found -1 and 17; allowed: 0 to 3"):
        build_loss(CrossEntropy(), four)(torch.zeros(1, 4, 1, 5), target)


@pytest.mark.parametrize(("value", "found"), [(0.5, "no whole numbers"), (float("nan"), "nan")])
def test_values_that_are_no_whole_numbers_are_refused(two: ClassPrior, value: float, found: str) -> None:
    target = torch.tensor([[[0.0, value, 1.0]]])
    with pytest.raises(UserError, match=found):
        build_loss(Jaccard(), two)(torch.zeros(1, 1, 1, 3), target)


def test_whole_masks_of_any_dtype_are_taken(two: ClassPrior) -> None:
    for dtype in (torch.bool, *DTYPES, torch.float64):
        target = torch.tensor([[[0, 1, 1]]]).to(dtype)
        assert build_loss(Jaccard(), two)(torch.zeros(1, 1, 1, 3), target) > 0
    assert build_loss(Jaccard(), two)(torch.zeros(0, 1, 4, 4), torch.zeros(0, 4, 4)) == 0


class Device:
    """A stand-in for a GPU's copies to the host: they arrive when it is told so."""

    def __init__(self) -> None:
        self.arrived = False
        self.sent: list[Tensor] = []

    def __call__(self, values: Tensor) -> tuple[Tensor, object]:
        self.sent.append(values)
        return values, lambda: self.arrived


GOOD, BAD, WORSE = (torch.tensor([[0, value, 255]]) for value in (1, 2, -7))


def test_what_has_not_arrived_is_not_waited_for_and_nothing_is_missed() -> None:
    device = Device()
    lookout = Lookout(2, device)  # type: ignore[arg-type]  # mypy wants a function
    for target in (GOOD, BAD, GOOD, WORSE, GOOD):
        lookout.see(target)
    assert len(device.sent) == 1
    device.arrived = True
    lookout.see(GOOD)  # the first was good; all since are sent
    assert len(device.sent) == 2
    with pytest.raises(UserError, match="an earlier batch hold values that are no class; found -7 and 2;"):
        lookout.see(GOOD)


def test_good_masks_are_never_refused() -> None:
    device = Device()
    lookout = Lookout(2, device)  # type: ignore[arg-type]  # mypy wants a function
    for step in range(20):
        device.arrived = step % 3 == 0
        lookout.see(GOOD)
    assert len(device.sent) > 5


def test_bounds_leave_ignored_pixels_out() -> None:
    for dtype in DTYPES:
        assert bounds(torch.tensor([3, 255, 1]).to(dtype)).tolist() == [0.0, 3.0, 0.0]
    check_bounds(bounds(torch.full((2, 2), 255)), 2)


def test_a_loss_that_has_an_answer_under_way_can_be_copied(two: ClassPrior) -> None:
    loss = build_loss(Jaccard(), two)
    loss._lookout = Lookout(2, Device())  # type: ignore[arg-type]  # mypy wants a function
    loss._lookout.see(BAD)
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        logits, target = torch.randn(1, 1, 2, 2), torch.ones(1, 2, 2)
        torch.testing.assert_close(other(logits, target), loss(logits, target), rtol=0, atol=0)
