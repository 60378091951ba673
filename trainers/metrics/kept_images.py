"""What an evaluation keeps of each image for its objects, whose threshold is only known after the last image.

A pixel costs 1 byte for its truth, 2 for its logit's key per foreground class and, with several classes, 1
for the argmax: 64 validation tiles of 256 x 256 are 12 MB. Copies from a GPU go to pinned memory without
waiting. Beyond a bound on memory the older batches go to an unnamed temporary file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MEMORY: Final = 512 * 2**20
"""Bytes kept in memory by default."""


@dataclass(frozen=True, slots=True)
class KeptBatch:
    """Images of one batch, on the host.

    Attributes:
        truth: uint8 (N, H, W) class indices, 255 ignored.
        keys: int16 (N, F, H, W) ranks of the foreground classes' logits (`trainers.metrics.logit_scale`).
        argmax: uint8 (N, H, W) the likeliest class, None for two classes.
    """

    truth: NDArray[np.uint8]
    keys: NDArray[np.int16]
    argmax: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True)
class KeptImage:
    """One image, on the host.

    Attributes:
        truth: uint8 (H, W).
        keys: int16 (F, H, W).
        argmax: uint8 (H, W), None for two classes.
    """

    truth: NDArray[np.uint8]
    keys: NDArray[np.int16]
    argmax: NDArray[np.uint8] | None


class KeptImages:
    """Batches in order, in memory up to a bound and in a temporary file beyond it."""

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory
        self._held = 0
        self._recent: list[tuple[Tensor, ...]] = []
        self._file: IO[bytes] | None = None
        self._written = 0

    def add(self, truth: Tensor, keys: Tensor, argmax: Tensor | None) -> None:
        """Keep one batch; tensors may still be on the GPU."""
        parts = (truth, keys) if argmax is None else (truth, keys, argmax)
        pinned = truth.device.type == "cuda"
        self._recent.append(tuple(part.to("cpu", non_blocking=pinned, copy=True) for part in parts))
        self._held += sum(part.nbytes for part in self._recent[-1])
        if self._held > self._memory:
            self._spill(truth.device)

    def batches(self) -> Iterator[KeptBatch]:
        """Yield the batches in order. On a GPU, only after the device was synchronized."""
        if self._file is not None:
            self._file.seek(0)
            for _ in range(self._written):
                yield _batch([np.load(self._file) for _ in range(int(np.load(self._file)))])
        for parts in self._recent:
            yield _batch([part.numpy() for part in parts])

    def images(self) -> Iterator[KeptImage]:
        """Yield the images in order, as `batches` does."""
        for batch in self.batches():
            for i, truth in enumerate(batch.truth):
                yield KeptImage(truth, batch.keys[i], None if batch.argmax is None else batch.argmax[i])

    def _spill(self, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # the copies under way
        self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        self._file.seek(0, 2)
        for parts in self._recent:
            np.save(self._file, np.asarray(len(parts)))
            for part in parts:
                np.save(self._file, part.numpy())
        self._written += len(self._recent)
        self._recent, self._held = [], 0


def _batch(parts: list[NDArray[Any]]) -> KeptBatch:
    return KeptBatch(parts[0], parts[1], parts[2] if len(parts) > 2 else None)
