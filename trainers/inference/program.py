"""A trained model as one computation for other runtimes: an image's own values in, logits out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.crops.normalization import Normalization
from lossweep.trainers.data.crops.whole_images import STRIDE
from lossweep.trainers.inference.segmenter import Segmenter
from lossweep.trainers.models.building import one_line

EXAMPLE: Final = (2, 2 * STRIDE, 3 * STRIDE)
"""Images, height and width that a model is traced at: all different, so that none is taken for another."""


class WholeImages(nn.Module):
    """A model that takes images as they are: scaled, normalized, padded and cut back inside.

    The same arithmetic as `Normalization` and `stacked` do outside of a model, in float32.

    Args:
        model: from normalized images (N, bands, H, W), H and W multiples of `STRIDE`, to logits.
        normalization: of its training data.
    """

    gain: Tensor
    bias: Tensor
    low: Tensor
    extent: Tensor

    def __init__(self, model: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.model = model
        gain, bias = normalization.factors("cpu")
        self.register_buffer("gain", gain.view(1, -1, 1, 1))
        self.register_buffer("bias", bias.view(1, -1, 1, 1))
        low, high = torch.tensor(normalization.ranges or [(0.0, 1.0)]).T
        self.register_buffer("low", low.view(1, -1, 1, 1))
        self.register_buffer("extent", (high - low).view(1, -1, 1, 1))
        self.scales = bool(normalization.ranges)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K, H, W) of images (N, bands, H, W), float32, of any size."""
        height, width = images.shape[2:]
        if self.scales:  # as floats are stored: in 16 bits
            share = (torch.nan_to_num(images) - self.low) / self.extent
            images = torch.round(share.clamp(0.0, 1.0) * 65535.0)
        whole = (height + STRIDE - 1) // STRIDE * STRIDE, (width + STRIDE - 1) // STRIDE * STRIDE
        padding = (0, whole[1] - width, 0, whole[0] - height)
        logits: Tensor = self.model(functional.pad(images * self.gain + self.bias, padding))
        return logits[:, :, :height, :width]


def whole_images(segmenter: Segmenter) -> WholeImages:
    """Return a copy of a model on the CPU, in float32, that takes images as they are."""
    return WholeImages(_on_cpu(segmenter), segmenter.spec.normalization).eval()


def save_program(segmenter: Segmenter, path: Path) -> None:
    """Write a model as a program of torch's (``torch.export``), which needs none of the code that built it.

    It maps normalized images (N, bands, H, W), H and W multiples of `STRIDE`, to logits (N, K, H, W).

    Raises:
        UserError: torch can't export this model.
    """
    images, rows, columns = (torch.export.Dim(name, min=1) for name in ("images", "rows", "columns"))
    example = torch.zeros(EXAMPLE[0], segmenter.spec.normalization.bands, *EXAMPLE[1:])
    shapes = ({0: images, 2: STRIDE * rows, 3: STRIDE * columns},)
    with exporting(segmenter, "a program of torch's"), torch.no_grad():
        program = torch.export.export(_on_cpu(segmenter), (example,), dynamic_shapes=shapes)
        torch.export.save(program, path)


@contextmanager
def exporting(segmenter: Segmenter, what: str) -> Iterator[None]:
    """Turn what torch says of a model that it can't export into one line, and keep it from saying more.

    Raises:
        UserError: torch raised anything.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        name = segmenter.spec.model.architecture
        message = f"torch can't export {name} as {what}: {one_line(error)}"
        hint = "its forward must not branch on the values or the size of an image"
        raise UserError(Problem(message, key="model.architecture", hint=hint)) from error


def _on_cpu(segmenter: Segmenter) -> Any:
    model = copy.deepcopy(segmenter.model)
    return model.to("cpu", torch.float32, memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
