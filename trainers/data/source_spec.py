"""What every source of data says, as plain data. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.losses.terms import Frozen
from lossweep.trainers.data.layout_spec import FromTrain, Layout, compiling

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

Level = Annotated[int, Field(ge=0, le=65535)]
Triple = tuple[Level, Level, Level]
Color = Triple | Level
"""What a class looks like in a mask file: an RGB color, or one grey value."""
Colors = Color | Annotated[tuple[Triple, ...], Field(min_length=1)]
"""Of a class that has several colors: all of them; a grey value among them is three equal ones."""


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
        return compiling(group)

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        if abs(self.train + self.val + self.test - 1.0) > 1e-6:
            raise ValueError(f"train + val + test must be 1, but got {self.train + self.val + self.test:g}")
        return self


class SourceSpec(Frozen):
    """What every source has. One of lossweep's own is a model in a file of `trainers.data.specs`.

    Attributes:
        place: where it stands in lists of sources.
        reader: the import path of the `sources.source.Source` that reads it, called with the spec. A path,
            so that a sweep file is read without what it takes to read images.
        source: its name in a sweep file.
        classes: their names, background first; index ``i`` in a mask means ``classes[i]``.
        tile: side of a training crop in pixels.
        crops: crops of each image in an epoch; by default as many as cover its area once.
        augment: random changes of the crops.
    """

    place: ClassVar[int]
    reader: ClassVar[str]

    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=IGNORE_INDEX)] = (
        "background",
        "foreground",
    )
    tile: int = Field(default=256, ge=32, multiple_of=32)
    crops: Annotated[int, Field(ge=1)] | None = None
    augment: Augmentation = Augmentation()
    source: str

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes) or "" in classes:
            raise ValueError(f"classes must be distinct names, but got {classes}")
        return classes

    def resolve(self, base: Path) -> Self:
        """Return this source with its paths made absolute; relative ones start at ``base``."""
        return self


def absolute(base: Path, path: str) -> str:
    """Return a path made absolute; a relative one starts at ``base``."""
    return str((base / Path(path).expanduser()).absolute())


def triples(colors: Colors) -> tuple[Triple, ...]:
    """Return the red, green and blue of each color that a class has."""
    match colors:
        case int():
            return ((colors, colors, colors),)
        case (int() as red, int() as green, int() as blue):
            return ((red, green, blue),)
        case _:
            return tuple(each for each in colors if isinstance(each, tuple))


class RootedSpec(SourceSpec):
    """What sources have that list files of a folder.

    Attributes:
        root: the data set's folder; relative to the sweep file.
        split: None: the files say which split they belong to. Fractions: they are divided.
        from_train: splits that have no files of their own, taken from those of train.
        largest_image: pixels above which an image is refused rather than decoded.
        percentiles: float bands: the training percentiles that become the ends of the 16-bit range.
    """

    root: str
    split: Fractions | None = None
    from_train: FromTrain | None = None
    largest_image: int = Field(default=100_000_000, ge=1)
    percentiles: tuple[float, float] = (0.1, 99.9)

    @field_validator("percentiles")
    @classmethod
    def _a_range(cls, percentiles: tuple[float, float]) -> tuple[float, float]:
        if not 0.0 <= percentiles[0] < percentiles[1] <= 100.0:
            raise ValueError(f"percentiles must be 0 <= low < high <= 100, but got {percentiles}")
        return percentiles

    @model_validator(mode="after")
    def _divided_once(self) -> Self:
        if self.split is not None and self.from_train is not None:
            raise ValueError("split divides all images: from_train is for those that files divide in part")
        return self

    def resolve(self, base: Path) -> Self:
        """Return this source with ``root`` made absolute; a relative one starts at ``base``."""
        return self.model_copy(update={"root": absolute(base, self.root)})


class FilesSpec(RootedSpec):
    """What sources have whose masks are files beside the images.

    Attributes:
        layout: where images and masks lie; None: in the folders ``images`` and ``masks`` of ``root/train``,
            ``root/val`` and ``root/test``, or with ``split`` of ``root`` itself.
        colors: how classes look in the masks; None: a mask holds class indices. A class left out can't occur,
            but the background is black when left out. The key ``ignore`` names the color of ignored pixels.
        ignore_index: mask value of ignored pixels when there is no color map; None: there is none.
    """

    layout: Layout | None = None
    colors: dict[str, Colors] | None = None
    ignore_index: Level | None = IGNORE_INDEX

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
        colors: dict[str, Colors] = {self.classes[0]: 0, **self.colors}
        given = [color for each in colors.values() for color in triples(each)]
        if len(set(given)) < len(given):
            raise ValueError("colors must differ, but two classes share one (a background left out is black)")
        return self

    @model_validator(mode="after")
    def _splits_are_said_once(self) -> Self:
        if self.layout is None:
            return self
        if self.layout.says_splits and self.split is not None:
            raise ValueError("layout says the splits, by {split} or lists, and so does split: leave one out")
        if not self.layout.says_splits and self.split is None:
            raise ValueError(
                "layout says no splits: put {split} into its paths, give lists, or say how to divide the"
                " images: split: {train: 0.7, val: 0.15, test: 0.15}"
            )
        return self
