"""What would mix devices on a GPU is found without one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lossweep.trainers.fake_gpu import mixes_devices

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
    assert mixes_devices(Loss(keep, weighted), LOGITS, TARGET) is mixed


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
    assert mixes_devices(Loss("buffer", forward), LOGITS, TARGET) is mixed


def test_the_tensors_of_others_stay_as_they_were() -> None:
    assert mixes_devices(Loss("buffer", lambda loss, logits, target: (logits + WEIGHT).sum()), LOGITS, TARGET)
    assert WEIGHT.device.type == "cpu"
    assert WEIGHT.item() == 1.0
