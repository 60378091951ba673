"""One optimizer step: micro-batches, loss, clipping and learning rate, without waiting for the device."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn

from lossweep.trainers.loop.graphs import GraphedPass, Isolated, Pass, captured, wanted
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.losses import SegmentationLoss
from lossweep.trainers.plan import TrainingSpec, TrialPlan, pass_sizes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StepTensors:
    """What a step leaves on the device, to be read some steps later.

    Attributes:
        parts: each loss term's weighted value; their sum is the loss.
        comparable: `Measured.comparable`; None for a loss without ramps.
        gradient_norm: L2, before clipping.
    """

    parts: Mapping[str, Tensor]
    gradient_norm: Tensor
    comparable: Tensor | None = None

    @property
    def others(self) -> tuple[Tensor, ...]:
        """All but the parts, in order."""
        return (self.gradient_norm,) if self.comparable is None else (self.gradient_norm, self.comparable)


class Optimization:
    """A model and its optimizer.

    Args:
        model: on the device already.
        training: optimizer, clipping, precision, compilation.
        numerics: device and precision.
        micro_batch: most images of one forward pass.
    """

    def __init__(
        self, model: nn.Module, training: TrainingSpec, numerics: Numerics, micro_batch: int
    ) -> None:
        self.model = model
        self._pass = Pass(model, numerics, compiled=training.compile)
        self._graphed: GraphedPass | None = None
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._training = training
        self._numerics = numerics
        self._micro_batch = micro_batch
        self._scaler = torch.amp.GradScaler(numerics.device.type, enabled=numerics.scales_gradients)
        self._optimizer = self._fresh_optimizer()

    def step(
        self,
        images: Tensor,
        masks: Tensor,
        criterion: SegmentationLoss,
        learning_rate: float,
        maps: Mapping[str, Tensor] | None = None,
    ) -> StepTensors:
        """Take one step on one batch, in as many equal micro-batches as it needs.

        A micro-batch's loss is weighted by its share of the images, so that the mean over pixels is the same
        however the batch is cut. (A region loss over the ``batch`` is one over the micro-batch then, and
        batch normalization sees micro-batches: no accumulation can help that.)

        Args:
            images: (B, C, H, W) float32.
            masks: (B, H, W) class indices.
            criterion: the phase's loss.
            learning_rate: of this step.
            maps: (B, planes, H, W) by name, those that the loss asks for.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.zero_grad(set_to_none=True)
        sizes = list(pass_sizes(len(images), self._micro_batch))
        parts: dict[str, Tensor] = {}
        comparable: Tensor | None = None
        whole = (images, masks, *(maps or {}).values())
        for some, truth, *planes in zip(*(torch.split(each, sizes) for each in whole), strict=True):
            share = len(some) / len(images)
            forward = self._graphed if self._graphed is not None and self._graphed.takes(some) else self._pass
            logits = forward(some)
            measured = criterion.measured(logits, truth, dict(zip(maps or {}, planes, strict=True)))
            loss = reduce(add, measured.parts.values())
            self._scaler.scale(loss if len(sizes) == 1 else loss * share).backward()  # type: ignore[no-untyped-call]  # torch's own
            if measured.comparable is not None:
                seen = measured.comparable * share
                comparable = seen if comparable is None else comparable + seen
            for name, value in measured.parts.items():
                seen = value.detach() if len(sizes) == 1 else value.detach() * share
                parts[name] = parts[name] + seen if name in parts else seen
        self._scaler.unscale_(self._optimizer)
        norm = self._clip()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return StepTensors(parts, norm, comparable)

    def use_graphs(self, plan: TrialPlan, channels: int, passes: int, isolated: Isolated) -> None:
        """Go on with CUDA graphs where the plan wants them; see `trainers.loop.graphs.captured`."""
        if wanted(plan, self._numerics):
            self._graphed = captured(self._pass, plan, channels, passes, isolated)

    def start_epoch(self) -> None:
        """Be ready to train, after whatever was done to the model in between."""
        self.model.train()
        if self._graphed is not None and not self._graphed.holds():
            log.warning("The model's tensors were moved: no CUDA graphs from here on.")
            self._graphed = None

    def forget_moments(self) -> None:
        """Start the optimizer's running moments anew, as at the first step."""
        self._optimizer = self._fresh_optimizer()

    def state_dict(self) -> dict[str, Any]:
        """Weights, moments and gradient scale, as tensors and plain data."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])

    def _clip(self) -> Tensor:
        if self._training.clip_norm is not None:
            return nn.utils.clip_grad_norm_(self._parameters, self._training.clip_norm)
        return nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])

    def _fresh_optimizer(self) -> torch.optim.Optimizer:
        spec, rate = self._training, 1e-3  # the rate is set at every step
        fused = self._numerics.device.type in ("cpu", "cuda")
        if spec.optimizer == "adamw":
            return torch.optim.AdamW(self._parameters, rate, weight_decay=spec.weight_decay, fused=fused)
        sgd = torch.optim.SGD(
            self._parameters, rate, momentum=spec.momentum, weight_decay=spec.weight_decay, fused=fused
        )
        if spec.momentum > 0:
            # Fused SGD leaves the moments that it makes at the first step uninitialized when the scaler skips
            # that step; from zeros it takes the same steps.
            for parameter in self._parameters:
                sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return sgd
