"""A model that TerraTorch puts together, for `model.architecture`: any of its backbones and decoders.

Needs `pip install terratorch` (tried with 1.2.13).
"""

from __future__ import annotations

from typing import Any

from terratorch.models import EncoderDecoderFactory
from torch import Tensor, nn


class Logits(nn.Module):
    """TerraTorch's model with its logits alone: (images, channels, height, width)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of a batch of images, (images, bands, height, width)."""
        logits: Tensor = self.model(images).output
        return logits if logits.ndim == 4 else logits.unsqueeze(1)  # it drops the axis of a single channel


def segmenter(in_channels: int, classes: int, **options: Any) -> nn.Module:
    """Build a model whose options are those of `EncoderDecoderFactory.build_model`, from the sweep file.

    Args:
        in_channels: bands of the images.
        classes: channels of the logits: 1 for two classes, else one a class.
        options: `backbone`, `decoder`, `necks`, and what starts with `backbone_`, `decoder_` or `head_`.

    Raises:
        ValueError: the backbone is asked for other bands than the images have.
    """
    bands = options.get("backbone_bands")
    if bands is not None and len(bands) != in_channels:
        raise ValueError(f"backbone_bands names {len(bands)} bands, but the images have {in_channels}")
    return Logits(EncoderDecoderFactory().build_model(task="segmentation", num_classes=classes, **options))
