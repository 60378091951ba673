"""A forward pass on a GPU that need not be there: what would mix devices in it, and what would wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

_MIXED: Final = ("same device", "two devices", "different devices")

_READS: Final = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "bincount",
    "is_nonzero",
    "equal",
)
"""Operators whose value, or whose result's size, the host needs: it waits for all that was launched."""

_COPIES: Final = ("_to_copy", "copy_")

_WORDS: Final = {"_local_scalar_dense": "item", "_unique2": "unique"}
"""What people call some of these operators."""


@dataclass(frozen=True, slots=True)
class GpuPass:
    """What a forward pass would be on a GPU, as far as stand-ins for tensors show it.

    Attributes:
        mixes: whether it would compute with a tensor of the CPU among the GPU's, and so fail.
        waits: for what the host would wait until the GPU is done, such as ``item``, each once.
        unfollowed: why the rest of the pass could not be followed, one line; empty when all was.
    """

    mixes: bool = False
    waits: tuple[str, ...] = ()
    unfollowed: str = ""


class WaitWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Names what the host waits for among the operators that run within.

    Attributes:
        waits: reads of values, and copies between host and device, in order.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.waits: list[str] = []

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = _name(operator)
        if name in _READS and args[0].device.type != "cpu":
            self.waits.append(_WORDS.get(name, name))  # before it runs: stand-ins have no value to read
        result = operator(*args, **(kwargs or {}))
        if name in _COPIES:
            places = {each.device.type for each in (*args, result) if isinstance(each, Tensor)}
            if len(places) > 1:
                self.waits.append(f"a copy of {tuple(result.shape)} between GPU and CPU")
        return result


def pass_on_gpu(module: nn.Module, *inputs: Any) -> GpuPass:
    """Follow a forward pass of a module that works on a CPU, as if module and inputs were on a GPU.

    A tensor that a module keeps without registering it as a buffer, or makes without naming a device, does
    not move along to a GPU; no pass on a CPU shows it. The pass here is torch's own on fake tensors, which
    have shape, type and device and no values: it needs no GPU and computes nothing. So it ends where Python
    asks for a value, which is no mistake.

    Args:
        module: not to be used afterwards: its tensors are replaced.
        inputs: as it takes them: tensors, or mappings and lists of them.
    """
    device, watch = torch.device("cuda", 0), WaitWatch()
    mixes, unfollowed = False, ""

    def stand_in(given: Tensor) -> Tensor:
        return torch.empty(given.shape, dtype=given.dtype, device=device)

    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            put_stand_ins(module, device)
            given = tree_map_only(Tensor, stand_in, inputs)
            with watch:
                module(*given)
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        name = _name(error.func)
        watch.waits.append(_WORDS.get(name, name))
        unfollowed = "what follows depends on a value"
    except Exception as error:  # a user's code may raise anything on tensors without values
        text = str(error)
        mixes = isinstance(error, RuntimeError) and any(words in text for words in _MIXED)
        unfollowed = "" if mixes else f"{type(error).__name__}: {text}".splitlines()[0][:200]
    return GpuPass(mixes, tuple(dict.fromkeys(watch.waits)), unfollowed)


def _name(operator: Any) -> str:
    name: str = operator.name().removeprefix("aten::")
    return name.partition(".")[0]


def put_stand_ins(module: nn.Module, device: torch.device) -> None:
    """Put stand-ins for a module's parameters and buffers on the device: what ``to`` does with real ones."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            stand_in = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
            part._parameters[name] = nn.Parameter(stand_in, requires_grad=parameter.requires_grad)
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=device)
