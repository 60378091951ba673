"""What would mix devices on a GPU is found without one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lossweep.trainers.fake_gpu import pass_on_gpu

LOGITS = torch.zeros(2, 1, 8, 8)
TARGET = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
WEIGHT = torch.ones(1)


class Loss(nn.Module):
    """A user's loss: its weight a buffer, a parameter, or neither."""

    def __init__(self, keep: str, forward: Callable[[Loss, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        if keep == "buffer":
            self.register_buffer("weight", torch.ones(1))
        else:
            self.weight = nn.Parameter(torch.ones(1)) if keep == "parameter" else torch.ones(1)
        self.compute = forward

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.compute(self, logits, target)


def weighted(loss: Loss, logits: Tensor, target: Tensor) -> Tensor:
    return (logits * loss.weight).mean()


@pytest.mark.parametrize(("keep", "mixed"), [("buffer", False), ("parameter", False), ("attribute", True)])
def test_a_tensor_that_does_not_move_along(keep: str, mixed: bool) -> None:
    assert pass_on_gpu(Loss(keep, weighted), LOGITS, TARGET).mixes is mixed


@pytest.mark.parametrize(
    ("forward", "mixed"),
    [
        (lambda loss, logits, target: (logits + torch.ones(8)).mean(), True),
        (lambda loss, logits, target: (logits + WEIGHT).mean(), True),
        (lambda loss, logits, target: (logits + torch.ones(8, device=logits.device)).mean(), False),
        (lambda loss, logits, target: (logits * torch.tensor(2.0)).mean(), False),
        (lambda loss, logits, target: logits[target > 0].mean(), False),
        (lambda loss, logits, target: logits.mean() * logits.mean().item(), False),
        (lambda loss, logits, target: 1 / 0, False),
        (lambda loss, logits, target: logits.view(3), False),
    ],
)
def test_a_tensor_made_in_the_pass(forward: Callable[[Loss, Tensor, Tensor], Tensor], mixed: bool) -> None:
    assert pass_on_gpu(Loss("buffer", forward), LOGITS, TARGET).mixes is mixed


def test_the_tensors_of_others_stay_as_they_were() -> None:
    mixing = Loss("buffer", lambda loss, logits, target: (logits + WEIGHT).sum())
    assert pass_on_gpu(mixing, LOGITS, TARGET).mixes
    assert WEIGHT.device.type == "cpu"
    assert WEIGHT.item() == 1.0


@pytest.mark.parametrize(
    ("forward", "waits"),
    [
        (lambda loss, logits, target: logits.mean() * logits.mean().item(), "item"),
        (lambda loss, logits, target: logits.mean() if logits.mean() > 0 else -logits.mean(), "item"),
        (lambda loss, logits, target: logits * sum(logits.mean((1, 2, 3)).tolist()), "item"),
        (lambda loss, logits, target: logits[target > 0].mean(), "nonzero"),
        (lambda loss, logits, target: target.nonzero(), "nonzero"),
        (lambda loss, logits, target: logits.cpu().mean(), "a copy of (2, 1, 8, 8) between GPU and CPU"),
        (
            lambda loss, logits, target: logits + torch.linspace(0, 1, 8).to(logits.device),
            "a copy of (8,) between GPU and CPU",
        ),
    ],
)
def test_what_the_host_would_wait_for_is_named(
    forward: Callable[[Loss, Tensor, Tensor], Tensor], waits: str
) -> None:
    assert pass_on_gpu(Loss("buffer", forward), LOGITS, TARGET).waits == (waits,)


def test_what_reads_nothing_back_does_not_wait() -> None:
    passed = pass_on_gpu(
        Loss("buffer", lambda _, logits, target: logits.masked_fill(target > 0, 0)), LOGITS, TARGET
    )
    assert (passed.waits, passed.unfollowed) == ((), "")


def test_what_stand_ins_cannot_do_is_no_mistake() -> None:
    passed = pass_on_gpu(Loss("buffer", lambda _, logits, target: 1 / 0), LOGITS, TARGET)
    assert passed.unfollowed == "ZeroDivisionError: division by zero"
    assert not passed.mixes
