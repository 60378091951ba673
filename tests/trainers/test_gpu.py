"""One GPU as a process meets it: shares, room, and a name."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from lossweep.trainers.gpu import CONTEXT_BYTES, hold_to_share, indexed, room


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """The bounds that torch is given, on a machine whose GPU has 24 GiB."""
    found: list[tuple[float, int]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    gpu = SimpleNamespace(total_memory=24 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: found.append((share, device))
    )
    return found


@pytest.mark.parametrize("gpus", [0.5, 0.25, 0.125])
def test_the_workers_of_a_gpu_fit_into_it_with_their_contexts(
    gpus: float, bounds: list[tuple[float, int]]
) -> None:
    hold_to_share(gpus)
    [(share, device)] = bounds
    assert device == 0  # Ray shows each worker its own GPU as the first
    assert share * 24 * 2**30 + CONTEXT_BYTES == pytest.approx(gpus * 24 * 2**30)


def test_a_share_smaller_than_a_context_leaves_half_of_it(bounds: list[tuple[float, int]]) -> None:
    hold_to_share(0.02)
    assert bounds == [(0.01, 0)]


@pytest.mark.parametrize("gpus", [0.0, 1.0, 2.0])
def test_whole_gpus_and_none_are_not_bounded(gpus: float, bounds: list[tuple[float, int]]) -> None:
    hold_to_share(gpus)
    assert bounds == []


def test_a_machine_without_a_gpu_is_left_alone(
    bounds: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    hold_to_share(0.5)
    assert bounds == []


@pytest.mark.parametrize(
    ("free", "share", "reserved", "left"),
    [(20, 1.0, 2, 20), (20, 0.25, 2, 4), (3, 0.25, 2, 3), (20, 0.25, 6, 0)],
)
def test_a_share_of_a_gpu_bounds_what_may_stay_on_it(
    free: int, share: float, reserved: int, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 24))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", _only_with_index(share), raising=False)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
    assert room(torch.device("cuda")) == left


def _only_with_index(share: float) -> Callable[[torch.device], float]:
    """As torch does: it refuses a device that names no GPU."""

    def share_of(device: torch.device) -> float:
        if device.index is None:
            raise ValueError("Expected a torch.device with a specified index")
        return share

    return share_of


def test_a_gpu_without_a_number_is_the_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert indexed(torch.device("cuda")) == torch.device("cuda", 3)
    assert indexed(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert indexed(torch.device("cpu")) == torch.device("cpu")
