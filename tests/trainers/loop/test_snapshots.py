"""A snapshot is what a state was, to the bit, whatever becomes of the original."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from lossweep.trainers.loop.snapshots import Snapshot


def read_back(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


def test_it_stays_what_the_state_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    window = [1.0, 2.0]

    def step() -> None:
        model(torch.ones(2, 3, 8, 8)).square().sum().backward()
        optimizer.step()

    def state() -> dict[str, Any]:
        return {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "guards": {"window": window},
        }

    step()
    snapshot, before = Snapshot(state()), read_back(state())
    step()
    window.append(3.0)
    kept, now = read_back(snapshot.state()), read_back(state())
    assert kept["guards"] == {"window": [1.0, 2.0]}
    assert kept["model"]._metadata == before["model"]._metadata
    assert kept["optimizer"]["param_groups"] == before["optimizer"]["param_groups"]
    for part in ("model", "optimizer"):
        for one, other, after in zip(*(tensors(each[part]) for each in (kept, before, now)), strict=True):
            assert torch.equal(one, other)
            assert one.stride() == other.stride()
            assert one.dtype == other.dtype
            assert not torch.equal(one, after)


def tensors(state: dict[str, Any]) -> list[torch.Tensor]:
    if "state" in state:
        return [each for slots in state["state"].values() for each in slots.values()]
    return list(state.values())


class Copies(TorchDispatchMode):
    """Notes what is done to tensors, and of copies whether the host waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = operator.name().removeprefix("aten::")
        if name == "copy_":
            name += " waits" if args[2:] != (True,) else " goes ahead"
        elif name == "empty_like":
            name += " pinned" if (kwargs or {}).get("pin_memory") else " pageable"
        self.seen.append(name)
        return operator(*args, **(kwargs or {}))


class Queue:
    """Stands in for a GPU's stream and for the event recorded on it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def record_event(self) -> Queue:
        self.told.append("recorded")
        return self

    def synchronize(self) -> None:
        self.told.append("waited")


def test_nothing_waits_for_copies_from_a_gpu_but_who_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue()
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: queue)
    with FakeTensorMode():  # of a GPU that need not be there
        weight = torch.empty(4, 3, 3, 3, device="cuda")
        state = {"model": {"weight": weight}, "optimizer": {"state": {0: {"step": weight[0, 0, 0, 0]}}}}
        with Copies() as copies:
            snapshot = Snapshot(state)
        assert [name for name in copies.seen if name.startswith(("copy", "empty"))] == [
            "empty_like pinned",
            "copy_ goes ahead",
        ] * 2
        assert not {"_local_scalar_dense", "_to_copy"} & set(copies.seen)
        assert queue.told == ["recorded"]
        kept = snapshot.state()
    assert queue.told == ["recorded", "waited"]
    assert kept["model"]["weight"].device.type == "cpu"
    assert kept["optimizer"]["state"][0]["step"].device.type == "cpu"
    assert weight.device.type == "cuda"
