"""A trained model as one value: images in, logits, probabilities or masks out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lossweep.trainers.data.crops.whole_images import stacked, whole_batches
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.determinism import isolated
from lossweep.trainers.inference.pictures import Image, all_shown
from lossweep.trainers.inference.spec import SegmenterSpec
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.passes import Forward, PassSize, predicted, predicting
from lossweep.trainers.plan import ModelSpec, TrainingSpec

Precision = Literal["auto", "float32", "tf32", "bfloat16", "float16"]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Segmenter:
    """A trained model with all that predicting takes.

    Images are arrays (height, width, bands) with the values of the training images (uint8, uint16, or floats
    where those were floats), or files. They are normalized and padded as the trainer's evaluations do it, and
    seen in the same passes, so that what was measured holds here; bit for bit in the same precision on the
    same machine. In float32, the default, nothing depends on what the machine's processor likes best.

    Attributes:
        model: with its weights, in evaluation mode, on the device.
        spec: all but the weights.
        numerics: device and precision.
    """

    model: nn.Module
    spec: SegmenterSpec
    numerics: Numerics

    @classmethod
    def of(
        cls,
        model: nn.Module,
        spec: SegmenterSpec,
        *,
        precision: Precision = "float32",
        device: torch.device | str | None = None,
    ) -> Segmenter:
        """Return a model that is ready to predict.

        Args:
            model: trained; it is moved to the device and put in evaluation mode.
            spec: all but its weights.
            precision: see `TrainingSpec.precision`; that of ``spec.training`` is the one it was measured in.
            device: the GPU, when there is one, when None.
        """
        training = spec.training.model_copy(update={"precision": precision})
        numerics = Numerics.of(training, device)
        return cls(numerics.place(model).eval(), spec, numerics)

    def as_measured(self) -> Segmenter:
        """Return the same on this device, in the precision in which the trainer measured it."""
        return replace(self, numerics=Numerics.of(self.spec.training, self.numerics.device))

    @property
    def pass_size(self) -> PassSize:
        """The most that one forward pass takes, as in the trainer's evaluations."""
        return PassSize.of(self.spec.training.batch, self.spec.tile)

    @contextmanager
    def forward(self) -> Iterator[Forward]:
        """Predict with normalized images (N, bands, H, W) on the device, H and W multiples of 32."""
        numerics = self.numerics
        with (
            isolated(0, "inference", device=numerics.device, tf32=numerics.tf32),
            predicting(self.model, numerics) as forward,
        ):
            yield forward

    def logits(self, images: Sequence[Image]) -> list[Floats]:
        """Return the logits (K, height, width) of each image: K = 1 for two classes, else one a class.

        A large image is seen in overlapping windows, as the trainer's evaluations see it.

        Raises:
            UserError: with each image that can't be read, or is of another kind than those of the training.
        """
        pixels = [each.pixels for each in all_shown(images, self.spec.normalization)]
        sizes = [(each.shape[0], each.shape[1]) for each in pixels]
        size, device = self.pass_size, self.numerics.device
        found: dict[int, Floats] = {}
        with self.forward() as forward:
            for padded, indices in whole_batches(sizes, size.images, size.pixels):
                few = (self.spec.normalization.normalized(pixels[index], device) for index in indices)
                logits = predicted(forward, stacked(few, padded), size).float().cpu().numpy()
                for index, of_one in zip(indices, logits, strict=True):
                    height, width = sizes[index]
                    found[index] = np.ascontiguousarray(of_one[:, :height, :width])
        return [found[index] for index in range(len(pixels))]

    def probabilities(self, images: Sequence[Image]) -> list[Floats]:
        """Return the probabilities (K, height, width) of each image; see `probabilities_of`."""
        return [self.probabilities_of(logits) for logits in self.logits(images)]

    def masks(self, images: Sequence[Image]) -> list[NDArray[np.uint8]]:
        """Return the class indices (height, width) of each image; see `mask_of`."""
        return [self.mask_of(logits) for logits in self.logits(images)]

    def probabilities_of(self, logits: Floats) -> Floats:
        """Return probabilities (K, H, W) of logits (K, H, W).

        For two classes K = 1, the foreground's; else one a class, background first, which sum to 1. Losses on
        regions saturate: where many are 0 or 1 the threshold on logits still tells pixels apart.
        """
        values = torch.from_numpy(logits)
        found = torch.sigmoid(values) if self.spec.is_binary else torch.softmax(values, dim=0)
        return np.asarray(found.numpy())

    def mask_of(self, logits: NDArray[Any] | Tensor) -> NDArray[np.uint8]:
        """Return class indices (H, W) of logits (K, H, W).

        Two classes: foreground is ``logit >= threshold``. More: the likeliest class, of equal ones the first.
        """
        values = np.asarray(logits)
        if self.spec.is_binary:
            return np.asarray(values[0] >= self.spec.threshold, np.uint8)
        return np.asarray(np.nan_to_num(values, nan=-np.inf).argmax(axis=0), np.uint8)


def spec_of(
    model: ModelSpec,
    training: TrainingSpec,
    data: SegmentationData,
    threshold: float,
    rule: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> SegmenterSpec:
    """Return what a model that was trained on some data is, beside its weights.

    Args:
        model: which.
        training: how.
        data: what on; its classes, normalization and tile.
        threshold: on logits.
        rule: what the threshold was chosen by.
        provenance: where it comes from, plain data; the data's fingerprint is added.
    """
    return SegmenterSpec(
        model=model,
        classes=data.prior.names,
        normalization=data.val.normalization,
        threshold=threshold,
        rule=rule,
        tile=data.val.tile,
        training=training,
        provenance={"data": data.fingerprint, **(provenance or {})},
    )
