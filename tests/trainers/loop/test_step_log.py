"""Figures of steps, read some steps at a time, none of them lost or moved."""

from __future__ import annotations

import math

import pytest
import torch

from lossweep.trainers.loop.optimization import StepTensors
from lossweep.trainers.loop.step_log import INTERVAL, StepLog


def tensors(ce: float, dice: float = 0.0, norm: float = 1.0) -> StepTensors:
    return StepTensors({"ce": torch.tensor(ce), "dice": torch.tensor(dice)}, torch.tensor(norm))


def test_steps_are_read_in_order_with_their_numbers() -> None:
    log = StepLog()
    full = [log.add(step, tensors(float(step), 1.0, 2.0 * step)) for step in range(1, INTERVAL + 1)]
    assert full == [False] * (INTERVAL - 1) + [True]
    figures = log.read()
    assert [(f.step, f.loss, f.gradient_norm) for f in figures] == [
        (step, step + 1.0, 2.0 * step) for step in range(1, INTERVAL + 1)
    ]
    assert list(log.read()) == []


def test_what_can_be_compared_is_read_beside_the_loss_and_is_no_part_of_it() -> None:
    log = StepLog()
    ramped = StepTensors({"ce": torch.tensor(1.0)}, torch.tensor(2.0), torch.tensor(9.0))
    for step, one in enumerate((ramped, ramped), 1):
        log.add(step, one)
    assert [(f.loss, f.comparable, f.gradient_norm) for f in log.read()] == [(1.0, 9.0, 2.0)] * 2
    assert log.losses == {"ce": 1.0, "total": 1.0}
    log.add(3, tensors(1.0, 0.5))
    assert [(f.loss, f.comparable) for f in log.read()] == [(1.5, 1.5)], "without ramps, the loss"


def test_means_go_over_reads_until_they_are_reset() -> None:
    log = StepLog()
    for step, value in enumerate((1.0, 2.0, 6.0)):
        log.add(step, tensors(value, 0.5, value))
        log.read()
    assert log.losses == pytest.approx({"ce": 3.0, "dice": 0.5, "total": 3.5})
    assert log.gradient_norm == pytest.approx(3.0)
    log.reset()
    assert log.losses == {}
    assert log.gradient_norm == 0.0


def test_means_leave_out_what_is_not_finite_and_the_steps_do_not() -> None:
    log = StepLog()
    log.add(1, tensors(1.0))
    log.add(2, tensors(math.nan, norm=math.inf))
    figures = log.read()
    assert math.isnan(figures[1].loss)
    assert log.losses["total"] == 1.0
    assert log.gradient_norm == 1.0


@pytest.mark.parametrize("scaled", [False, True])
def test_only_a_scalers_non_finite_steps_are_skipped_ones(scaled: bool) -> None:
    log = StepLog(scaled)
    log.add(1, tensors(1.0))
    log.add(2, tensors(1.0, norm=math.inf))
    assert [figures.skipped for figures in log.read()] == [False, scaled]
