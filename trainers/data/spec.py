"""Where a sweep's images and masks come from, as plain data. No torch here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.losses.terms import Frozen

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

Level = Annotated[int, Field(ge=0, le=65535)]
Color = tuple[Level, Level, Level] | Level
"""What a class looks like in a mask file: an RGB color, or one grey value."""


class Augmentation(Frozen):
    """Random changes of a training crop; each a function of (seed, epoch, index).

    Attributes:
        flip: mirror left-right with probability 1/2 (with quarter turns, all eight symmetries of the square).
        quarter_turns: turn by 0, 90, 180 or 270 degrees.
        brightness: add a value drawn from +- this many standard deviations of a band.
        contrast: multiply by a factor drawn from 1 +- this, about the band's mean.
        scale: magnify by a factor drawn log-uniformly from this range; (1, 1) leaves every pixel as it is.
        foreground_bias: the share of crops that are placed so that they hold a foreground pixel, its class
            drawn evenly from those in the image; the others are placed anywhere.
    """

    flip: bool = True
    quarter_turns: bool = True
    brightness: float = Field(default=0.1, ge=0.0, le=1.0)
    contrast: float = Field(default=0.1, ge=0.0, le=1.0)
    scale: tuple[Annotated[float, Field(ge=0.25)], Annotated[float, Field(le=4.0)]] = (1.0, 1.0)
    foreground_bias: float = Field(default=0.0, ge=0.0, le=1.0)

    @field_validator("scale")
    @classmethod
    def _ordered(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError(f"scale must be (least, most), but got {scale}")
        return scale


class Fractions(Frozen):
    """How one folder of images is divided into three splits.

    Attributes:
        train: share of the groups that train.
        val: share that validates.
        test: share that tests; the three sum to 1.
        seed: of the shuffle.
        group: a regular expression searched in the file's stem; files whose match is equal (its first group,
            if it has one) stay in one split, so that neighbors don't leak.
    """

    train: float = Field(default=0.7, gt=0.0, lt=1.0)
    val: float = Field(default=0.15, gt=0.0, lt=1.0)
    test: float = Field(default=0.15, ge=0.0, lt=1.0)
    seed: int = Field(default=0, ge=0)
    group: str | None = None

    @field_validator("group")
    @classmethod
    def _compiles(cls, group: str | None) -> str | None:
        try:
            re.compile(group or "")
        except re.error as error:
            raise ValueError(f"group must be a regular expression, but got {group!r}: {error}") from None
        return group

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        if abs(self.train + self.val + self.test - 1.0) > 1e-6:
            raise ValueError(f"train + val + test must be 1, but got {self.train + self.val + self.test:g}")
        return self


class _Source(Frozen):
    """What every source has.

    Attributes:
        classes: their names, background first; index ``i`` in a mask means ``classes[i]``.
        tile: side of a training crop in pixels.
        crops: crops of each image in an epoch; by default as many as cover its area once.
        augment: random changes of the crops.
    """

    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=IGNORE_INDEX)] = (
        "background",
        "foreground",
    )
    tile: int = Field(default=256, ge=32, multiple_of=32)
    crops: Annotated[int, Field(ge=1)] | None = None
    augment: Augmentation = Augmentation()

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes) or "" in classes:
            raise ValueError(f"classes must be distinct names, but got {classes}")
        return classes

    def resolve(self, base: Path) -> Self:
        """Return this source with its paths made absolute; relative ones start at ``base``."""
        return self


def _absolute(base: Path, path: str) -> str:
    return str((base / Path(path).expanduser()).absolute())


class ScenesSource(_Source):
    """Procedural satellite scenes, deterministic by seed: nothing to download.

    Two classes are background and vehicle; with three, trucks are a class of their own. A scene has the size
    of a tile.
    """

    source: Literal["scenes"]
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=3)] = ("background", "vehicle")
    tile: int = Field(default=96, ge=32, multiple_of=32)
    train: int = Field(default=128, ge=1)
    val: int = Field(default=64, ge=1)
    test: int = Field(default=64, ge=1)
    seed: int = Field(default=0, ge=0)


class _Files(_Source):
    """What sources read from files have.

    Attributes:
        root: the data set's folder; relative to the sweep file.
        split: None: ``root`` holds the folders train, val and test. Fractions: it holds images and masks
            itself.
        colors: how classes look in the masks; None: a mask holds class indices. A class left out can't occur,
            but the background is black when left out. The key ``ignore`` names the color of ignored pixels.
        ignore_index: mask value of ignored pixels when there is no color map; None: there is none.
        largest_image: pixels above which an image is refused rather than decoded.
        percentiles: float bands: the training percentiles that become the ends of the 16-bit range.
    """

    root: str
    split: Fractions | None = None
    colors: dict[str, Color] | None = None
    ignore_index: Level | None = IGNORE_INDEX
    largest_image: int = Field(default=100_000_000, ge=1)
    percentiles: tuple[float, float] = (0.1, 99.9)

    @field_validator("percentiles")
    @classmethod
    def _a_range(cls, percentiles: tuple[float, float]) -> tuple[float, float]:
        if not 0.0 <= percentiles[0] < percentiles[1] <= 100.0:
            raise ValueError(f"percentiles must be 0 <= low < high <= 100, but got {percentiles}")
        return percentiles

    @model_validator(mode="after")
    def _colors_name_classes(self) -> Self:
        if self.colors is None:
            return self
        if unknown := sorted(set(self.colors) - {*self.classes, "ignore"}):
            raise ValueError(
                f"colors must name classes ({', '.join(self.classes)}) or ignore, but got {unknown}"
            )
        if missing := [name for name in self.classes[1:] if name not in self.colors]:
            raise ValueError(
                f"colors must name every class but the background; missing: {', '.join(missing)}"
            )
        colors: dict[str, Color] = {self.classes[0]: 0, **self.colors}
        given = [(color,) * 3 if isinstance(color, int) else color for color in colors.values()]
        if len(set(given)) < len(given):
            raise ValueError("colors must differ, but two classes share one (a background left out is black)")
        return self

    def resolve(self, base: Path) -> Self:
        """Return this source with ``root`` made absolute; a relative one starts at ``base``."""
        return self.model_copy(update={"root": _absolute(base, self.root)})


class FolderSource(_Files):
    """``root/{train,val,test}/{images,masks}``, or ``root/{images,masks}`` divided by ``split``."""

    source: Literal["folder"]


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


class RasterSource(_Files):
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


class ImportSource(_Source):
    """``package.module:function`` that returns the torch Datasets, for everything else.

    Attributes:
        function: called with ``parameters``; returns a dict of train, val and (optionally) test, or a tuple
            of them in that order. Items are (image, mask) arrays or tensors, images (bands, height, width) or
            (height, width).
        parameters: its keyword arguments.
        path: a folder put in front of ``sys.path`` for the import, relative to the sweep file.
        version: change it when the data changes but neither the function nor its parameters do.
    """

    source: Literal["import"]
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    parameters: dict[str, Any] = Field(default_factory=dict)
    path: str | None = None
    version: str = ""

    def resolve(self, base: Path) -> Self:
        """Return this source with ``path`` made absolute; a relative one starts at ``base``."""
        return self if self.path is None else self.model_copy(update={"path": _absolute(base, self.path)})


DataSpec = Annotated[ScenesSource | FolderSource | RasterSource | ImportSource, Field(discriminator="source")]
