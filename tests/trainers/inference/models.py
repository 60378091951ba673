"""Small models in use."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lossweep.trainers.data.crops.normalization import Normalization
from lossweep.trainers.inference.segmenter import Segmenter
from lossweep.trainers.inference.spec import SegmenterSpec
from lossweep.trainers.models.building import create
from lossweep.trainers.plan import ModelSpec

TINY = ModelSpec(encoder="tu-test_resnet", options={"encoder_depth": 3, "decoder_channels": (32, 16, 16)})
CLASSES = ("background", "vehicle", "truck", "bus")
BYTES = Normalization(mean=(100.0, 90.0, 80.0), std=(50.0, 40.0, 30.0))


def untrained(classes: int | tuple[str, ...] = 2, model: ModelSpec = TINY, **changes: Any) -> Segmenter:
    """A model with random weights, whose predictions are of all classes."""
    names = CLASSES[:classes] if isinstance(classes, int) else classes
    spec = SegmenterSpec(model=model, classes=names, normalization=BYTES, tile=64)
    spec = spec.model_copy(update=changes)
    torch.manual_seed(0)
    network = create(spec.model, spec.normalization.bands, spec.channels)
    return Segmenter.of(network, spec, device="cpu")


class Near(nn.Sequential):
    """Looks two pixels far: two convolutions of three by three."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, classes, 3, padding=1)
        )


NEAR = ModelSpec(architecture="tests.trainers.inference.models:Near")
REACH = 2
