"""Images whose objects are outlined in COCO's JSON."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lossweep.trainers.data.layout_spec import SplitWords
from lossweep.trainers.data.source_spec import RootedSpec


class CocoSource(RootedSpec):
    """Images, and for each split (or for all) one file of annotations in COCO's format: polygons or RLE.

    A class is a category's name; what ``classes`` leaves out is background. Of objects that overlap the
    smaller lies on top; a crowd (``iscrowd``) is ignored.

    Attributes:
        annotations: the JSON file from ``root``, with ``{split}`` for a split's word unless ``split`` divides
            the images of one.
        images: the folder that its file names start at, from ``root``; may hold ``{split}`` as well.
        splits: words for the splits.
    """

    place = 5
    reader = "lossweep.trainers.data.sources.coco:Coco"

    source: Literal["coco"]
    annotations: Annotated[str, Field(min_length=1)] = "annotations/instances_{split}.json"
    images: str = "images"
    splits: SplitWords = SplitWords()

    @model_validator(mode="after")
    def _divided_somehow(self) -> Self:
        if ("{split}" in self.annotations) == (self.split is not None):
            raise ValueError(
                "either annotations hold {split}, or split divides the images of one file: "
                "split: {train: 0.7, val: 0.15, test: 0.15}"
            )
        return self
