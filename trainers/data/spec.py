"""Where a sweep's images and masks come from, as plain data. No torch here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from spaces.loss_terms import Frozen


class Augmentation(Frozen):
    """Random changes of a training crop; each a function of (seed, epoch, index)."""

    flip: bool = True
    quarter_turns: bool = True
    brightness: float = Field(default=0.1, ge=0.0, le=1.0)
    contrast: float = Field(default=0.1, ge=0.0, le=1.0)
    scale: tuple[float, float] = (1.0, 1.0)
    foreground_bias: float = Field(default=0.0, ge=0.0, le=1.0)


class _Source(Frozen):
    classes: Annotated[tuple[str, ...], Field(min_length=2)] = ("background", "foreground")
    tile: int = Field(default=256, ge=32)
    augment: Augmentation = Augmentation()


class ScenesSource(_Source):
    """Procedural satellite scenes, deterministic by seed: nothing to download."""

    source: Literal["scenes"]
    classes: Annotated[tuple[str, ...], Field(min_length=2)] = ("background", "vehicle")
    tile: int = Field(default=96, ge=32)
    train: int = Field(default=128, ge=1)
    val: int = Field(default=64, ge=1)
    test: int = Field(default=64, ge=1)
    seed: int = 0


class FolderSource(_Source):
    """``root/{train,val,test}/{images,masks}``, or one folder split by fractions."""

    source: Literal["folder"]
    root: str


class RasterSource(_Source):
    """GeoTIFF scenes with masks as GeoTIFF or vector labels (extra ``geo``)."""

    source: Literal["raster"]
    root: str


class ImportSource(_Source):
    """``package.module:function`` that returns the three torch Datasets."""

    source: Literal["import"]
    function: str
    parameters: dict[str, Any] = Field(default_factory=dict)


DataSpec = Annotated[
    ScenesSource | FolderSource | RasterSource | ImportSource, Field(discriminator="source")
]
