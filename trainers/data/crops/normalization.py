"""How an image's values become what a model sees: one way, in training, in its evaluations and afterwards."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Tensor

from lossweep.spaces.losses.term import Frozen
from lossweep.trainers.data.crops.cutting import as_float
from lossweep.trainers.data.sources.source import Pixels
from lossweep.trainers.data.store.decoded import Meta
from lossweep.trainers.data.store.scaling import Scaling


class Normalization(Frozen):
    """What a data set's images are normalized by, as plain data that a trained model carries along.

    Attributes:
        mean: of each band over the labelled training pixels, in stored units.
        std: standard deviation, likewise.
        dtype: of stored images. Those that were floats are stored as uint16.
        ranges: (low, high) of each band of float images, which become 0 and 65535; empty for integer ones.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: Literal["uint8", "uint16"] = "uint8"
    ranges: tuple[tuple[float, float], ...] = ()

    @model_validator(mode="after")
    def _of_one_image(self) -> Self:
        if not self.mean or len(self.std) != len(self.mean) or len(self.ranges) not in (0, len(self.mean)):
            raise ValueError(
                "mean, std and ranges (if any) must have a value for each band, but got "
                f"{len(self.mean)}, {len(self.std)} and {len(self.ranges)}"
            )
        return self

    @classmethod
    def of(cls, meta: Meta) -> Normalization:
        """Return that of a store."""
        return cls.model_validate(
            {"mean": meta.mean, "std": meta.std, "dtype": meta.dtype, "ranges": meta.ranges}
        )

    @property
    def bands(self) -> int:
        """Of an image."""
        return len(self.mean)

    @property
    def kind(self) -> str:
        """The type of the values that images have before they are stored: uint8, uint16 or float32."""
        return "float32" if self.ranges else self.dtype

    def stored(self, image: Pixels) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """An image (height, width, bands) of this `kind` as a store has it."""
        return Scaling(self.ranges).scaled(image) if self.ranges else np.asarray(image, self.dtype)

    def of_stored_by(self, other: Normalization) -> Normalization:
        """Return the same for images that another data set stored, whose floats may have had other ranges.

        With s the other's stored values and s' those that this one's ranges would give, s' = a s + b.
        """
        if other.ranges == self.ranges:
            return self
        means, stds = list[float](), list[float]()
        for mean, std, (low, high), (lowest, highest) in zip(
            self.mean, self.std, self.ranges, other.ranges, strict=True
        ):
            a = (highest - lowest) / (high - low)
            b = (lowest - low) / (high - low) * 65535.0
            means.append((mean - b) / a)
            stds.append(std / a)
        return self.model_copy(update={"mean": tuple(means), "std": tuple(stds), "ranges": other.ranges})

    def factors(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """What stored values are multiplied by, and what is then added: (bands,) each, float32."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return (1.0 / std).to(device), (-mean / std).to(device)

    def normalized(self, image: Pixels, device: torch.device | str = "cpu") -> Tensor:
        """Return an image (height, width, bands) of this `kind` as a model is shown it, float32."""
        return normalized(as_tensor(self.stored(image)).to(device), self.factors(device))


def normalized(pixels: Tensor, factors: tuple[Tensor, Tensor]) -> Tensor:
    """Return stored pixels (..., bands) as a model is shown them, float32.

    Args:
        pixels: see `as_tensor`.
        factors: of a `Normalization`, on the same device.
    """
    gain, bias = factors
    return as_float(pixels) * gain + bias


def as_tensor(pixels: NDArray[Any]) -> Tensor:
    """Return stored pixels as a tensor that shares their memory.

    torch indexes int16 everywhere but uint16 not: these are the same bits, which `as_float` reads back.
    """
    return shared(pixels.view(np.int16) if pixels.dtype == np.uint16 else pixels)


def shared(values: NDArray[Any]) -> Tensor:
    """Return a tensor of the same memory, which is not written to."""
    with warnings.catch_warnings():  # that mapped pixels can't be written to is as it should be
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(values)
