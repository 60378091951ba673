"""A computation leaves the process's settings as they were."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from lossweep.trainers.determinism import RandomNumbers, in_any_order, isolated


def allowed() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("tf32", [True, False])
def test_a_gpu_multiplies_float32_as_asked(tf32: bool) -> None:
    """torch's own default is TF32 for convolutions and not for products: float32 was not what it said."""
    before = allowed()
    with isolated(1, "x", tf32=tf32):
        assert allowed() == (tf32, tf32)
    assert allowed() == before


def test_settings_come_back_after_an_error() -> None:
    before = allowed(), torch.are_deterministic_algorithms_enabled()
    with pytest.raises(ZeroDivisionError), isolated(1, "x", tf32=not before[0][0]):
        raise ZeroDivisionError
    assert (allowed(), torch.are_deterministic_algorithms_enabled()) == before


def test_sums_of_integers_are_left_to_the_fast_kernels() -> None:
    with isolated(1, "x", deterministic=True):
        with in_any_order():
            assert not torch.are_deterministic_algorithms_enabled()
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()


def test_apples_generator_starts_from_the_seed_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: "as it was")
    monkeypatch.setattr(torch.mps, "manual_seed", said.append)
    monkeypatch.setattr(torch.mps, "set_rng_state", said.append)
    for seed in (1, 1, 2):
        with isolated(seed, "x", device=torch.device("mps")):
            said.append("computes")
    first, again, other = (said[place : place + 3] for place in (0, 3, 6))
    assert first == again != other
    assert first[1:] == ["computes", "as it was"]
    with isolated(1, "x", device=torch.device("cpu")):
        assert len(said) == 9


def test_random_numbers_go_on_where_they_stopped() -> None:
    def drawn() -> list[float]:
        return [random.random(), float(np.random.random()), float(torch.rand(()))]

    with isolated(1, "x"):
        whole = [drawn() for _ in range(3)]
    numbers, parts = RandomNumbers(1, "x"), []
    random.seed(5)
    before = random.getstate(), torch.get_rng_state()
    for _ in range(3):
        with isolated(numbers):
            parts.append(drawn())
        assert random.getstate() == before[0]
        assert torch.equal(torch.get_rng_state(), before[1])
        with isolated(2, "y"):  # whatever draws in between
            drawn()
    assert parts == whole
