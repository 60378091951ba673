"""A snapshot is what a state was, to the bit, whatever becomes of the original."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import nn

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
