"""Where and in what numbers a trial computes: device, autocast, memory format."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from lossweep.trainers.gpu import indexed
from lossweep.trainers.plan import TrainingSpec
from lossweep.trainers.visible_gpus import gpus_hidden

log = logging.getLogger(__name__)

LossT = TypeVar("LossT", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Numerics:
    """Device and precision of one trial.

    Attributes:
        device: where the model and the batches are.
        dtype: of the autocast regions; None computes in float32 throughout.
        channels_last: whether images and weights lie in memory channel by channel for each pixel.
        tf32: whether a GPU's tensor cores multiply float32 with ten bits of mantissa.
    """

    device: torch.device
    dtype: torch.dtype | None
    channels_last: bool = True
    tf32: bool = False

    @classmethod
    def of(cls, training: TrainingSpec, device: torch.device | str | None = None) -> Numerics:
        """What a training specification means on a device (the GPU, when there is one and none is named).

        ``auto`` is bfloat16 where the hardware multiplies it natively: GPUs from Ampere on, CPUs with AMX or
        AVX512-BF16 (a ResNet18 U-Net takes half the CPU time then); else float16 on a GPU, float32 on a CPU.
        It is a function of the machine alone, so a trial repeats itself there bit for bit on a CPU.
        """
        place = indexed(torch.device(device)) if device is not None else best_device()
        dtype = _DTYPES.get(training.precision) or _auto(place)
        return cls(place, dtype, training.channels_last, training.precision == "tf32")

    def autocast(self) -> AbstractContextManager[object]:
        """A fresh autocast region; switched off explicitly in float32, whatever surrounds it."""
        return torch.autocast(
            self.device.type,
            dtype=self.dtype or torch.bfloat16,
            enabled=self.dtype not in (None, torch.float32),
        )

    @property
    def counting_device(self) -> torch.device:
        """Where an evaluation counts: Apple's GPUs count few kinds of integers, in memory that all share."""
        return torch.device("cpu") if self.device.type == "mps" else self.device

    @property
    def scales_gradients(self) -> bool:
        """float16 gradients underflow: the loss is scaled up and they are scaled back."""
        return self.dtype is torch.float16

    def place(self, model: nn.Module) -> nn.Module:
        """The model on the device, in the memory format; float32 on Apple's GPUs, which have no float64."""
        if self.device.type == "mps":
            model = model.float()
        placed = model.to(self.device)
        if self.channels_last:
            # Not by `Module.to`, which refuses a model that also has weights of five axes, as of a Conv3d.
            for tensor in (*placed.parameters(), *placed.buffers()):
                if tensor.dim() == 4:
                    tensor.data = tensor.data.to(memory_format=torch.channels_last)
        return placed

    def place_loss(self, loss: LossT) -> LossT:
        """The loss on the device. Apple's GPUs have no float64, in which losses keep their constants."""
        return (loss.float() if self.device.type == "mps" else loss).to(self.device)

    def lay_out(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in the memory format; crops are cut channels last, so that the other copies."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return images.contiguous(memory_format=layout)

    def __str__(self) -> str:
        """Device type and precision, such as ``cpu bfloat16``: what a checkpoint's numbers depend on."""
        name = "tf32" if self.tf32 else str(self.dtype or torch.float32).removeprefix("torch.")
        return f"{self.device.type} {name}"


_DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def best_device() -> torch.device:
    """The GPU that this process may see: NVIDIA's or AMD's, or Apple's where it trains; else the CPU."""
    if torch.cuda.is_available():
        return indexed(torch.device("cuda"))
    if torch.backends.mps.is_available() and not gpus_hidden() and _trains_on(torch.device("mps")):
        return torch.device("mps")
    return torch.device("cpu")


@cache
def _trains_on(device: torch.device) -> bool:
    """Whether a small model takes a step there: what Apple's GPUs can do depends on macOS and torch."""
    torch_before = torch.get_rng_state()
    try:
        layers = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Upsample(scale_factor=2)
        model = nn.Sequential(*layers, nn.Conv2d(4, 1, 1)).to(device)
        target = torch.zeros(2, 16, 16, dtype=torch.uint8, device=device)
        logits = model(torch.ones(2, 3, 8, 8, device=device))
        loss = nn.functional.softplus(logits[:, 0]).sort().values.cumsum(0).sum() + target.float().sum()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        torch.optim.AdamW(model.parameters()).step()
        return bool(torch.isfinite(loss).item())
    except (RuntimeError, NotImplementedError, TypeError) as error:
        log.warning("Trains on the CPU: this machine's GPU (%s) does not: %s", device.type, error)
        return False
    finally:
        torch.set_rng_state(torch_before)


def _auto(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if native else torch.float16
    if device.type == "cpu":
        # Private in torch, which has no public way to ask; without them float32 is always right.
        tests = (
            getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        )
        return torch.bfloat16 if any(test() for test in tests if test) else torch.float32
    return torch.float32


NAMES: Final = tuple(f"{place} {name}" for place in ("cuda", "mps", "cpu") for name in _DTYPES)
"""All that a `Numerics` may be called, a GPU's before a CPU's."""
