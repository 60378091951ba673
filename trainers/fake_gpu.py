"""A forward pass on a GPU that need not be there: whether a module computes with tensors of the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._pytree import tree_map_only

_MIXED = ("same device", "two devices", "different devices")


def mixes_devices(module: nn.Module, *inputs: Any) -> bool:
    """Whether a module that works on a CPU would meet CPU tensors among a GPU's.

    A tensor that a module keeps without registering it as a buffer, or makes without naming a device, does
    not move along to a GPU; no pass on a CPU shows it. The pass here is torch's own on fake tensors, which
    have shape, type and device and no values: it needs no GPU and computes nothing. What it can't decide,
    such as a branch on a value, counts as sound.

    Args:
        module: not to be used afterwards: its tensors are replaced.
        inputs: as it takes them: tensors, or mappings and lists of them.
    """
    device = torch.device("cuda", 0)

    def stand_in(given: Tensor) -> Tensor:
        return torch.empty(given.shape, dtype=given.dtype, device=device)

    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            put_stand_ins(module, device)
            module(*tree_map_only(Tensor, stand_in, inputs))
    except RuntimeError as error:
        return any(words in str(error) for words in _MIXED)
    except Exception:  # a user's code may raise anything on tensors without values
        return False
    return False


def put_stand_ins(module: nn.Module, device: torch.device) -> None:
    """Put stand-ins for a module's parameters and buffers on the device: what ``to`` does with real ones."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            stand_in = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
            part._parameters[name] = nn.Parameter(stand_in, requires_grad=parameter.requires_grad)
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=device)
