"""Turns what a mask file holds into class indices, by index or by color."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.source_spec import Colors, FilesSpec, SourceSpec, triples
from lossweep.trainers.data.sources import mask_hints
from lossweep.trainers.data.sources.picture import Picture, holds_nodata
from lossweep.trainers.data.sources.source import MaskFile

_MOST_NAMED = 5
Value: TypeAlias = "float | tuple[int, ...]"
"""A number of a mask of indices, or a color."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a mask holds beside what its classes explain; tallies of a scene's parts can be added.

    Attributes:
        unknown: each value or color that is no class, and how many pixels have it.
        known: the class indices that occur, and 255 where pixels are ignored.
        step: how many of 255 levels one of the file's own is.
        lossy: whether the file's compression changed values.
    """

    unknown: Counter[Value]
    known: frozenset[int]
    step: int = 1
    lossy: bool = False

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.unknown + other.unknown, self.known | other.known, self.step, self.lossy)


@dataclass(frozen=True, slots=True)
class CodedMask:
    """A mask as class indices.

    Attributes:
        mask: (height, width) class indices, 255 where ignored or unknown.
        unknown: (pixels, bands) the values that are no class.
        ignored: pixels that hold the ignored value, not nodata.
        palette: the colors of the indices that occur, of a palette file whose indices are the classes.
        notes: what was assumed.
        suspicions: what a person should look at.
    """

    mask: NDArray[np.uint8]
    unknown: NDArray[Any]
    ignored: int
    palette: Mapping[int, tuple[int, ...]]
    notes: tuple[str, ...]
    suspicions: tuple[str, ...]

    def file(self, name: str) -> MaskFile:
        """What is to be compared with other masks."""
        without = np.count_nonzero(self.mask == IGNORE_INDEX)
        labelled, foreground = self.mask.size - without, np.count_nonzero(self.mask) - without
        return MaskFile(name, labelled, foreground, self.ignored, self.palette)

    def tally(self, picture: Picture) -> Tally:
        """What it holds, of which picture it is."""
        known = frozenset(map(int, np.unique(self.mask[self.mask != IGNORE_INDEX])))
        known |= {IGNORE_INDEX} if self.ignored else frozenset()
        found = _counted(self.unknown) if len(self.unknown) else Counter[Value]()
        return Tally(found, known, picture.step, picture.lossy)


class MaskCoding:
    """How the masks of a source are coded: as class indices, or in colors."""

    def __init__(self, spec: SourceSpec) -> None:
        self._spec = spec
        self._classes = spec.classes
        self._ignore = spec.ignore_index if isinstance(spec, FilesSpec) else IGNORE_INDEX
        self._colors = _color_table(spec)

    def decode(self, picture: Picture, file: str) -> CodedMask:
        """Return a mask as class indices.

        Raises:
            UserError: a value that is no class, or a color mask without a color map.
        """
        coded = self.attempt(picture, file)
        if len(coded.unknown):
            raise UserError(self.refusal(coded.tally(picture), file))
        return coded

    def attempt(self, picture: Picture, file: str) -> CodedMask:
        """Return a mask as class indices and what of it is no class; `decode` refuses that.

        Raises:
            UserError: it can't be a mask, whatever its values.
        """
        notes, suspicions = list[str](), list[str]()
        if picture.alpha is not None and picture.palette is None:
            if picture.alpha.all():
                notes.append("alpha channel of a mask dropped")
            else:
                suspicions.append("part of the mask is transparent, which is not looked at: its values count")
        if picture.lossy:
            suspicions.append("the mask is a JPEG, which changes values and edges: save masks as PNG")
        if self._colors is None and picture.palette is not None:
            notes.append("palette mask, its indices taken as class indices")
        values = self._values(picture, file)
        if self._colors is None and values.shape[2] == 1:
            mask, unknown = self._by_index(values[..., 0], file)
        else:
            mask, unknown = self._by_color(values)
        ignored = mask == IGNORE_INDEX if unknown is None else (mask == IGNORE_INDEX) & ~unknown
        if (nodata := self._nodata(picture)) is not None:
            mask[nodata] = IGNORE_INDEX
            ignored &= ~nodata
            unknown = None if unknown is None else unknown & ~nodata
        return CodedMask(
            mask,
            values[unknown] if unknown is not None else values[:0, 0],
            int(np.count_nonzero(ignored)),
            {} if self._colors is not None or picture.palette is None else _used(picture),
            tuple(notes),
            tuple(suspicions),
        )

    def _values(self, picture: Picture, file: str) -> NDArray[Any]:
        """Indices (height, width, 1), or colors as they are shown when there is a color map."""
        values = picture.values
        if self._colors is not None and picture.palette is not None:
            size = max(len(picture.palette), 256)
            palette = np.zeros((size, 3), np.uint8)
            palette[: len(picture.palette)] = picture.palette
            return np.asarray(palette[np.minimum(values[..., 0], size - 1)])
        if self._colors is not None and picture.step > 1:
            values = values * np.uint8(picture.step)
        if values.shape[2] == 1 and self._colors is None:
            return values
        if values.shape[2] not in (1, 3) or values.dtype.kind not in "iu":
            found = f"{values.shape[2]} bands of {values.dtype}"
            message = "mask is neither one band of class indices nor red, green and blue"
            raise UserError(Problem(message, file=file, found=found))
        return values

    def _nodata(self, picture: Picture) -> NDArray[np.bool_] | None:
        """Where a mask is nodata.

        A nodata value that is a class (0, mostly) means that class: files are full of such declarations.
        """
        nodata = picture.nodata
        if nodata is None or self._names_a_class(nodata, picture):
            return None
        return holds_nodata(picture.values, nodata)

    def _names_a_class(self, value: float, picture: Picture) -> bool:
        if self._colors is None:
            return value in range(len(self._classes))
        if not 0 <= value <= 65535:
            return False
        color = np.full(3, int(value) * picture.step)
        if picture.palette is not None:
            color = picture.palette[int(value) % len(picture.palette)]
        return int(_pack(color)) in self._colors

    def _by_index(
        self, values: NDArray[Any], file: str
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Class indices, and where a value is none."""
        if values.dtype.kind not in "iuf":
            raise UserError(Problem(f"mask holds {values.dtype}, not class indices", file=file))
        ignored = np.zeros(values.shape, bool) if self._ignore is None else values == self._ignore
        known = (values >= 0) & (values < len(self._classes)) & ~ignored
        if values.dtype.kind == "f":
            known &= values == np.rint(values)
        mask = np.full(values.shape, IGNORE_INDEX, np.uint8)
        mask[known] = values[known].astype(np.uint8)
        unknown = ~(known | ignored)
        return mask, unknown if unknown.any() else None

    def _by_color(self, values: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """The classes of colors, and where a color is none's."""
        if self._colors is None:
            return np.full(values.shape[:2], IGNORE_INDEX, np.uint8), np.ones(values.shape[:2], bool)
        packed = _pack(np.broadcast_to(values, (*values.shape[:2], 3)))
        keys = np.array(sorted(self._colors), np.int64)
        indices = np.array([self._colors[int(key)] for key in keys], np.uint8)
        position = np.minimum(np.searchsorted(keys, packed), len(keys) - 1)
        unknown = keys[position] != packed
        mask = np.where(unknown, np.uint8(IGNORE_INDEX), indices[position])
        return mask, unknown if unknown.any() else None

    def refusal(self, tally: Tally, file: str) -> Problem:
        """What is wrong with a mask that holds what is no class."""
        common = sorted(tally.unknown.items(), key=lambda entry: -entry[1])
        kind = "colors" if self._colors is not None or isinstance(common[0][0], tuple) else "values"
        found = ", ".join(f"{_shown(value)} in {count} pixels" for value, count in common[:_MOST_NAMED])
        if len(common) > _MOST_NAMED:
            found += f" and {len(common) - _MOST_NAMED} further {kind}"
        if self._colors is not None:
            smeared = tally.lossy or len(common) > _MOST_NAMED
            return Problem(
                "mask holds a color that is no class",
                file=file,
                found=found,
                allowed=", ".join(_shown(_unpack(key)) for key in self._colors),
                hint="JPEG masks smear colors: save masks as PNG" if smeared else None,
            )
        if kind == "colors":
            colors = {value: count for value, count in common if isinstance(value, tuple)}
            return Problem(
                "mask has colors, not class indices",
                file=file,
                found=found,
                hint=mask_hints.for_colors(self._spec, colors),
            )
        numbers = [value for value, _ in common if not isinstance(value, tuple)]
        whole = all(math.isfinite(value) and value == round(value) for value in numbers)
        ignored = "" if self._ignore is None else f", or {self._ignore} for ignored"
        hint = mask_hints.for_values(self._spec, numbers, sorted(tally.known), tally.step, tally.lossy)
        return Problem(
            "mask holds a value that is no class" if whole else "mask holds values that are no whole numbers",
            file=file,
            found=found,
            allowed=f"0 to {len(self._classes) - 1} ({', '.join(self._classes)}){ignored}",
            hint=hint if whole else None,
        )


def _counted(values: NDArray[Any]) -> Counter[Value]:
    """How many pixels (pixels, bands) have each value or color."""
    if values.shape[1] == 1:
        found, counts = np.unique(values[:, 0], return_counts=True)
        return Counter(dict(zip(map(float, found), map(int, counts), strict=True)))
    found, counts = np.unique(_pack(values), return_counts=True)
    return Counter({_unpack(int(color)): int(count) for color, count in zip(found, counts, strict=True)})


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return str(list(value))
    return f"{value:.0f}" if value == round(value, 0) and abs(value) < 1e15 else f"{value:.4g}"


def _used(picture: Picture) -> dict[int, tuple[int, ...]]:
    """The colors of the indices that occur."""
    assert picture.palette is not None
    used = np.unique(picture.values)
    return {int(i): tuple(map(int, picture.palette[i])) for i in used if i < len(picture.palette)}


def _pack(values: NDArray[Any]) -> NDArray[np.int64]:
    red, green, blue = np.moveaxis(values.astype(np.int64), -1, 0)
    return np.asarray((red << 32) | (green << 16) | blue)


def _unpack(packed: int) -> tuple[int, ...]:
    return packed >> 32, (packed >> 16) & 0xFFFF, packed & 0xFFFF


def _color_table(spec: SourceSpec) -> dict[int, int] | None:
    """Packed color -> class index, 255 for the color of ignored pixels."""
    if not isinstance(spec, FilesSpec) or spec.colors is None:
        return None
    indices = {name: index for index, name in enumerate(spec.classes)} | {"ignore": IGNORE_INDEX}
    black: dict[str, Colors] = {spec.classes[0]: 0}
    colors = {**black, **spec.colors}
    return {
        int(_pack(np.array(color))): indices[name] for name, each in colors.items() for color in triples(each)
    }
