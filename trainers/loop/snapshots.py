"""A state as it is at one moment, copied to the host, so that training may change the original."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor


class Snapshot:
    """A copy of a state on the host.

    Copies from a GPU go to page-locked memory, and nothing waits for them: they stand in the GPU's queue
    before the steps that change the originals.

    Args:
        state: tensors and plain data in dictionaries and sequences; every part of it is copied.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        tensors = list(_tensors(state))
        copies: dict[int, Any] = {id(each): _copied(each) for each in tensors}
        self._state: dict[str, Any] = deepcopy(dict(state), copies)
        self._arrivals = [
            torch.cuda.current_stream(device).record_event()
            for device in {each.device for each in tensors if each.is_cuda}
        ]

    def state(self) -> dict[str, Any]:
        """Return the copy, once all of it has arrived; any thread may ask."""
        for arrival in self._arrivals:
            arrival.synchronize()
        return self._state


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _copied(tensor: Tensor) -> Tensor:
    own = tensor.detach()
    host = torch.empty_like(own, device="cpu", pin_memory=own.is_cuda)
    return host.copy_(own, non_blocking=own.is_cuda)
