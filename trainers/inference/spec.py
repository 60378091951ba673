"""What a trained model is beside its weights, as plain data that travels with them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from lossweep.spaces.losses.term import Frozen
from lossweep.trainers.data.crops.normalization import Normalization
from lossweep.trainers.plan import ModelSpec, TrainingSpec


class SegmenterSpec(Frozen):
    """All of a trained model but its weights.

    Attributes:
        model: which; its pretrained weights are not fetched again.
        classes: their names, background first.
        normalization: of its images, which are those of its training data.
        threshold: on logits, of two classes: ``logit >= threshold`` is foreground. With several foreground
            classes the likeliest class is predicted, and the first one's is only told.
        rule: what the threshold was chosen by, as one line.
        tile: side of a training crop in pixels.
        training: how it was trained, and so how it was measured: in which precision, with how many images a
            pass.
        provenance: where it comes from: sweep, trial, seed, data.
    """

    model: ModelSpec
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    normalization: Normalization
    threshold: float = 0.0
    rule: str = ""
    tile: int = Field(default=256, ge=1)
    training: TrainingSpec = TrainingSpec()
    provenance: dict[str, Any] = Field(default_factory=dict)

    @property
    def is_binary(self) -> bool:
        """Two classes: one logit a pixel."""
        return len(self.classes) == 2

    @property
    def channels(self) -> int:
        """Logits of a pixel: 1 for two classes, else one a class."""
        return 1 if self.is_binary else len(self.classes)
