"""Which model a machine trains in the hours there are, and with what weights it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.plan import ModelSpec

_TINY: Final[dict[str, Any]] = {
    "architecture": "Unet",
    "encoder": "tu-test_resnet",
    "options": {"encoder_depth": 3, "decoder_channels": [32, 16, 16]},
}
_GPU_BATCH: Final = 16 * 256 * 256
"""Pixels of a batch on a GPU."""
_CPU_BATCH: Final = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that may be taken.

    Attributes:
        keys: what stands under ``model:``.
        batch: images of a step.
        why: for a person.
    """

    keys: dict[str, Any]
    batch: int
    why: str


def choices(gpu: bool, tile: int, hours: float) -> tuple[Choice, ...]:
    """Return the models that a machine may train, the best first; the last always can be."""
    tiny = Choice(_TINY, _CPU_BATCH, "A U-Net of 0.1 million parameters: small enough for a CPU")
    if gpu:
        batch = max(4, min(32, _GPU_BATCH // tile**2))
        keys = {"architecture": "Unet", "encoder": "resnet34", "weights": "imagenet"}
        return (Choice(keys, batch, "A U-Net of 24 million parameters"),)
    if hours < 1.0:  # measuring the larger one would only cost a minute
        return (tiny,)
    keys = {"architecture": "Unet", "encoder": "resnet18", "weights": "imagenet"}
    return (Choice(keys, _CPU_BATCH, "A U-Net of 14 million parameters"), tiny)


def with_weights(choice: Choice, prior: ClassPrior, bands: int) -> Choice:
    """Return a choice with its pretrained weights fetched, or without them and what that changes."""
    from lossweep.trainers.models import raw_model

    if choice.keys.get("weights") is None:
        why = f"{choice.why}; there are no pretrained weights of it"
        return Choice(choice.keys, choice.batch, why)
    try:
        raw_model(ModelSpec.model_validate(choice.keys), prior, bands, seed=0)
    except UserError:
        keys = {**choice.keys, "weights": None}
        why = (
            f"{choice.why}; its ImageNet weights could not be fetched here. With weights: imagenet it learns"
            " in fewer epochs and from fewer images: set it where the Hugging Face hub can be reached"
        )
        return Choice(keys, choice.batch, why)
    return Choice(choice.keys, choice.batch, f"{choice.why}, its encoder trained on ImageNet")
