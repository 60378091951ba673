from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lossweep.search.running.tune.worker import _CONTEXT_BYTES, _bound_gpu_memory


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
    _bound_gpu_memory(gpus)
    [(share, device)] = bounds
    assert device == 0  # Ray shows each worker its own GPU as the first
    assert share * 24 * 2**30 + _CONTEXT_BYTES == pytest.approx(gpus * 24 * 2**30)


def test_a_share_smaller_than_a_context_leaves_half_of_it(bounds: list[tuple[float, int]]) -> None:
    _bound_gpu_memory(0.02)
    assert bounds == [(0.01, 0)]


@pytest.mark.parametrize("gpus", [0.0, 1.0, 2.0])
def test_whole_gpus_and_none_are_not_bounded(gpus: float, bounds: list[tuple[float, int]]) -> None:
    _bound_gpu_memory(gpus)
    assert bounds == []


def test_a_machine_without_a_gpu_is_left_alone(
    bounds: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _bound_gpu_memory(0.5)
    assert bounds == []
