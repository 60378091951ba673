"""A model's forward and backward as CUDA graphs: one launch each, where small batches wait for launches.

A graph replays the very kernels that eager passes launch, on the same memory, with the random numbers that
would come next: nothing of a trial depends on whether it is used, and no checkpoint's address says so.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from lossweep.trainers.gpu_errors import is_dead
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.models.building import is_own
from lossweep.trainers.plan import TrialPlan

log = logging.getLogger(__name__)

Isolated = Callable[..., AbstractContextManager[None]]

_PASSES: Final = 10
"""Timed of each kind."""

_APART: Final = 0.02
"""Of the largest value: what kernels that add in any order may differ by, in bfloat16. A graph that has
frozen what the model's Python decides anew each time is off by much more."""


class Pass(nn.Module):
    """A model's forward pass in a trial's numbers: what is called in each step, and what is captured.

    Autocast begins and ends within, so that the weights it has cast are never those of an earlier pass.
    """

    def __init__(self, model: nn.Module, numerics: Numerics, *, compiled: bool = False) -> None:
        super().__init__()
        self.model = model
        self.numerics = numerics
        self._forward: Any = torch.compile(model) if compiled else model

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K, H, W) of images (B, C, H, W)."""
        with self.numerics.autocast():
            logits: Tensor = self._forward(self.numerics.lay_out(images))
        return logits


@dataclass(frozen=True, slots=True)
class Timing:
    """What capturing costs and brings.

    Attributes:
        eager: seconds of a pass forward and backward, operation by operation.
        graphed: of the same as graphs.
        capture: seconds that capturing took.
    """

    eager: float
    graphed: float
    capture: float

    def pays(self, passes: int) -> bool:
        """Whether so many passes make up for capturing."""
        return passes * (self.eager - self.graphed) > self.capture


_TIMED: Final[dict[str, Timing | None]] = {}
"""What this process found of each kind of pass; None where it can't be captured."""


class GraphedPass:
    """A captured pass, for images of one shape, and while the model's tensors stay where they are."""

    def __init__(self, call: Callable[[Tensor], Tensor], model: nn.Module, shape: torch.Size) -> None:
        self._call, self._model, self._shape = call, model, shape
        self._addresses = _addresses(model)

    def takes(self, images: Tensor) -> bool:
        """Whether it was captured for images of this shape, in training."""
        return images.shape == self._shape and self._model.training

    def holds(self) -> bool:
        """Whether parameters and buffers are still those that it reads and writes."""
        return _addresses(self._model) == self._addresses

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits. They are overwritten by the next call, as are the gradients."""
        return self._call(images)


def wanted(plan: TrialPlan, numerics: Numerics) -> bool:
    """Whether a trial's passes are to be captured where that pays, or in any case.

    A graph holds what the model's Python decided when it was captured. SMP's models decide nothing there; one
    of the user's own is captured when the plan says so. And a graph's gradients are overwritten by its next
    pass, so that a step of several passes does without.
    """
    graphs = plan.training.graphs
    one_pass = plan.images_a_pass >= plan.training.step_images
    return bool(on_gpu(numerics) and one_pass and graphs and (graphs is True or not is_own(plan.model)))


def on_gpu(numerics: Numerics) -> bool:
    """Whether there are CUDA graphs where a trial computes."""
    return numerics.device.type == "cuda"


def captured(
    eager: Pass, plan: TrialPlan, channels: int, passes: int, isolated: Isolated
) -> GraphedPass | None:
    """Capture a trial's pass, unless it can't be or doesn't pay; then a line of the log says why.

    The model is left as it was, in training mode: buffers are put back, gradients are not touched. What the
    graphs give is compared with eager passes before it is used.

    Args:
        eager: the pass.
        plan: one whose passes are `wanted` as graphs.
        channels: bands of an image.
        passes: how many there will be.
        isolated: as `trainers.determinism.isolated`, with the trial's settings.
    """
    always = plan.training.graphs is True
    shape = torch.Size((plan.training.step_images, channels, plan.data.tile, plan.data.tile))
    kind = f"{plan.model.model_dump_json()} {plan.training.model_dump_json()} {tuple(shape)}"
    if kind in _TIMED:
        known = _TIMED[kind]
        if known is None or not (always or known.pays(passes)):
            return None
    eager.train()
    try:
        with isolated("graphs"):
            graphed, timing = _captured(eager, shape, isolated)
    except Exception as error:  # a user's model, and CUDA, may raise anything
        if is_dead(error):
            raise
        _TIMED[kind] = None
        line = str(error).partition("\n")[0]
        log.warning("No CUDA graphs, passes are launched one operation at a time: %s", line)
        return None
    used = always or timing.graphed < timing.eager
    if kind not in _TIMED:
        _TIMED[kind] = timing
        log.info(
            "CUDA graphs take %.2f ms a pass, single operations %.2f; captured in %.1f s%s.",
            1e3 * timing.graphed,
            1e3 * timing.eager,
            timing.capture,
            "" if used else ", and not used",
        )
    return graphed if used else None


class CannotBeHeld(Exception):
    """A graph would not do what the model does."""


def _captured(eager: Pass, shape: torch.Size, isolated: Isolated) -> tuple[GraphedPass, Timing]:
    if any(
        part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in eager.modules()
    ):
        raise CannotBeHeld("the model has hooks, which graphs would not call")
    device = next(eager.parameters()).device
    images = eager.numerics.lay_out(torch.randn(shape, device=device))
    parameters = [each for each in eager.parameters() if each.requires_grad]
    buffers = [(each, each.clone()) for each in eager.buffers()]

    def put_back() -> None:
        with torch.no_grad():
            for buffer, kept in buffers:
                buffer.copy_(kept)

    def through(call: Callable[[Tensor], Tensor]) -> list[Tensor]:
        logits = call(images)
        slope = torch.linspace(-1.0, 1.0, logits.numel(), dtype=logits.dtype, device=device)
        found = torch.autograd.grad(logits, parameters, slope.view_as(logits), allow_unused=True)
        return [logits, *(each for each in found if each is not None)]

    try:
        with torch.enable_grad():
            before = time.perf_counter()
            call = _graphed(eager, images)
            torch.cuda.synchronize()
            capture = time.perf_counter() - before
            for index in range(2):
                results = []
                for way in (eager, call):
                    put_back()
                    with isolated("graphs", index):
                        results.append([each.detach().clone() for each in through(way)])
                if not _alike(*results):
                    raise CannotBeHeld("they give other values than the model, which decides anew each time")
            eager_s, graphed_s = _seconds(lambda: through(eager)), _seconds(lambda: through(call))
    finally:
        put_back()
    return GraphedPass(call, eager.model, shape), Timing(eager_s, graphed_s, capture)


def _has_hooks(part: nn.Module) -> bool:
    return bool(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks)


def _graphed(eager: Pass, images: Tensor) -> Callable[[Tensor], Tensor]:
    # Whatever it is given has its ``forward`` replaced.
    module = copy.copy(eager)
    make: Any = torch.cuda.make_graphed_callables
    options: dict[str, Any] = {"allow_unused_input": True}
    if "capture_error_mode" in inspect.signature(make).parameters:  # not yet in torch 2.11
        options["capture_error_mode"] = "thread_local"  # other threads may copy meanwhile
    call: Callable[[Tensor], Tensor] = make(module, (images,), **options)
    return call


def _alike(eager: list[Tensor], graphed: list[Tensor]) -> bool:
    def near(one: Tensor, other: Tensor) -> bool:
        one, other = one.float(), other.float()
        most = one.abs().nan_to_num(0.0, 0.0).amax().item()
        return torch.allclose(one, other, rtol=0.0, atol=_APART * most, equal_nan=True)

    return len(eager) == len(graphed) and all(map(near, eager, graphed))


def _seconds(work: Callable[[], object]) -> float:
    """Of one time, of several; after one that warms up."""
    work()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(_PASSES):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / _PASSES


def _addresses(model: nn.Module) -> tuple[int, ...]:
    return tuple(each.data_ptr() for each in itertools.chain(model.parameters(), model.buffers()))
