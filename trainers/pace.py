"""How fast a trial trains in this process: its own loop, for some seconds."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch

from lossweep.spaces.files.errors import LossweepError
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.gpu import hold_to_share
from lossweep.trainers.loop.numerics import best_device
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import TrialPlan

_WARM_UP: Final = 5
"""Steps before the clock starts: the first allocate, and choose kernels."""

_ENDLESS: Final = 1_000_000
"""Epochs: more than there is time for."""


def pace(
    plan: TrialPlan, data: SegmentationData, share: float, seconds: float, begin: Callable[[], object]
) -> tuple[float, int]:
    """Train a trial's model by plain cross-entropy for some seconds, without an evaluation in between.

    Args:
        plan: the trial; its schedule is replaced.
        data: what on.
        share: of a GPU, to which this process is held.
        seconds: after the first steps.
        begin: called when these are done, and waited for: others may have to come so far first.

    Returns:
        Images a second, and the bytes that torch took of the GPU at most; 0 without one.

    Raises:
        OutOfMemory: there is not enough for the micro-batch within this share.
        LossweepError: a guard ended the training.
    """
    device = best_device()
    on_gpu = device.type == "cuda"
    data.train.leave(device)
    if on_gpu:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    hold_to_share(share)
    step, began = -1, float("nan")

    def over() -> bool:
        """Asked before each step."""
        nonlocal step, began
        step += 1
        if step == _WARM_UP:
            _wait(on_gpu)
            begin()
            began = time.perf_counter()
        return step > _WARM_UP and time.perf_counter() - began >= seconds

    for _ in train(_plain(plan), data, should_stop=over):
        raise LossweepError("the training that was to be timed ended by a guard")
    _wait(on_gpu)
    taken = time.perf_counter() - began
    memory = torch.cuda.max_memory_reserved(device) if on_gpu else 0
    return (step - _WARM_UP) * plan.training.step_images / taken, memory


def _plain(plan: TrialPlan) -> TrialPlan:
    """The trial by plain cross-entropy from random weights, whose first evaluation never comes."""
    schedule = LossSchedule.parse(f"cross_entropy @1e-4 x{_ENDLESS}").with_budget(_ENDLESS)
    training = plan.training.model_copy(update={"evaluate_every": _ENDLESS})
    model = plan.model.model_copy(update={"weights": None})
    return replace(plan, schedule=schedule, training=training, model=model, held_out=None)


def _wait(on_gpu: bool) -> None:
    if on_gpu:
        torch.cuda.synchronize()
