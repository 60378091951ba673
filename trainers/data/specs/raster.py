"""Georeferenced scenes, read by windows."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lossweep.spaces.losses.terms import Frozen
from lossweep.trainers.data.source_spec import FilesSpec


class Blocks(Frozen):
    """Divides every scene into square blocks that belong to one split each.

    Attributes:
        size: side of a block in pixels.
        gap: least distance in pixels between two blocks of different splits.
    """

    size: int = Field(default=2048, ge=64)
    gap: int = Field(default=64, ge=0)

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.gap > self.size // 2:
            raise ValueError(f"gap must be at most half of size ({self.size}), but got {self.gap}")
        return self


class RasterSource(FilesSpec):
    """GeoTIFF scenes with masks as GeoTIFF or vector labels (extra ``geo``), read by windows.

    The layout is the folder source's; a mask is a GeoTIFF, GeoPackage or GeoJSON of the image's stem.

    Attributes:
        window: side of the pieces a scene is cut into, in pixels; by default four tiles.
        overlap: by how many pixels neighboring training pieces overlap; by default half a tile.
            Validation and test pieces never overlap.
        blocks: with ``split``: divide by blocks of each scene instead of by scene.
        class_field: vector labels: the attribute that holds the class's name or index; None: all are class 1.
        layer: GeoPackages: the layer with the labels; needed when there are several.
        all_touched: vector labels: burn every pixel that a polygon touches, not only those whose center it
            covers.
    """

    place = 3
    reader = "lossweep.trainers.data.sources.raster:Raster"

    source: Literal["raster"]
    window: Annotated[int, Field(ge=32)] | None = None
    overlap: Annotated[int, Field(ge=0)] | None = None
    blocks: Blocks | None = None
    class_field: str | None = None
    layer: str | None = None
    all_touched: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.blocks and not self.split:
            raise ValueError("blocks needs split, the fractions of the blocks that train, validate and test")
        if self.overlap_pixels >= self.window_pixels:
            raise ValueError(
                f"overlap must be less than window ({self.window_pixels}), but got {self.overlap_pixels}"
            )
        return self

    @property
    def window_pixels(self) -> int:
        """Side of a piece of a scene."""
        return self.window or 4 * self.tile

    @property
    def overlap_pixels(self) -> int:
        """By how much training pieces overlap."""
        return self.tile // 2 if self.overlap is None else self.overlap
