"""Turns what a mask file holds into class indices, by index or by color."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.sources.images import Picture
from lossweep.trainers.data.spec import Color, FolderSource, RasterSource

_MOST_NAMED = 5


class MaskCoding:
    """How the masks of a source are coded: as class indices, or in colors."""

    def __init__(self, spec: FolderSource | RasterSource) -> None:
        self._classes = spec.classes
        self._ignore = spec.ignore_index
        self._colors = _color_table(spec)

    def decode(self, picture: Picture, file: str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """Return a mask (height, width) of class indices, 255 where ignored, and notes on what was assumed.

        Raises:
            UserError: a value that is no class, or a color mask without a color map.
        """
        values = picture.values
        notes: tuple[str, ...] = () if picture.alpha is None else ("alpha channel of a mask dropped",)
        if self._colors is not None:
            if picture.palette is not None:
                size = max(len(picture.palette), 256)
                palette = np.zeros((size, 3), np.uint8)
                palette[: len(picture.palette)] = picture.palette
                values = palette[np.minimum(values[..., 0], size - 1)]
            elif picture.step > 1:
                values = values * np.uint8(picture.step)
            return self._by_color(values, file), notes
        if values.shape[2] != 1:
            hint = (
                "say in the sweep file which color is which class: `colors: {"
                + self._classes[1]
                + ": [255, 0, 0]}`"
            )
            raise UserError(
                Problem(
                    "mask has colors, not class indices",
                    file=file,
                    found=f"{values.shape[2]} bands",
                    hint=hint,
                )
            )
        if picture.palette is not None:
            notes = ("palette mask, its indices taken as class indices",)
        return check_indices(values[..., 0], self._classes, self._ignore, file, picture.step), notes

    def _by_color(self, values: NDArray[Any], file: str) -> NDArray[np.uint8]:
        assert self._colors is not None
        if values.shape[2] not in (1, 3) or values.dtype.kind not in "iu":
            raise UserError(
                Problem(
                    "mask is neither grey nor red, green and blue",
                    file=file,
                    found=f"{values.shape[2]} bands of {values.dtype}",
                )
            )
        packed = _pack(np.broadcast_to(values, (*values.shape[:2], 3)))
        keys = np.array(sorted(self._colors), np.int64)
        indices = np.array([self._colors[int(key)] for key in keys], np.uint8)
        position = np.minimum(np.searchsorted(keys, packed), len(keys) - 1)
        if not (matched := keys[position] == packed).all():
            found, counts = np.unique(packed[~matched], return_counts=True)
            order = np.argsort(-counts, kind="stable")[:_MOST_NAMED]
            named = ", ".join(f"{_unpack(int(found[i]))} in {counts[i]} pixels" for i in order)
            raise UserError(
                Problem(
                    "mask holds a color that is no class",
                    file=file,
                    found=named
                    + (f" and {len(found) - _MOST_NAMED} further colors" if len(found) > _MOST_NAMED else ""),
                    allowed=", ".join(f"{_unpack(key)}" for key in self._colors),
                    hint="JPEG masks smear colors: save masks as PNG" if len(found) > _MOST_NAMED else None,
                )
            )
        return np.asarray(indices[position])


def check_indices(
    values: NDArray[Any], classes: Sequence[str], ignore_index: int | None, file: str, step: int = 1
) -> NDArray[np.uint8]:
    """Check class indices (height, width) and return them as uint8, 255 where ignored.

    Raises:
        UserError: a value that is no class, with how many pixels have it.
    """
    if values.dtype.kind == "f":
        broken = ~(np.isfinite(values) & (values == np.rint(values)))
        if broken.any():
            message = "mask holds values that are no whole numbers"
            raise UserError(Problem(message, file=file, found=f"{int(broken.sum())} pixels"))
    elif values.dtype.kind not in "iu":
        raise UserError(Problem(f"mask holds {values.dtype}, not class indices", file=file))
    ignored = np.zeros(values.shape, bool) if ignore_index is None else values == ignore_index
    known = (values >= 0) & (values < len(classes)) & ~ignored
    if not (known | ignored).all():
        raise UserError(_unknown(values[~(known | ignored)], classes, ignore_index, file, step))
    mask = np.full(values.shape, IGNORE_INDEX, np.uint8)
    mask[known] = values[known].astype(np.uint8)
    return mask


def _unknown(
    values: NDArray[Any], classes: Sequence[str], ignore_index: int | None, file: str, step: int
) -> Problem:
    found, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_NAMED]
    named = ", ".join(f"{found[i]:g} in {counts[i]} pixels" for i in order)
    more = f" and {len(found) - _MOST_NAMED} further values" if len(found) > _MOST_NAMED else ""
    ignored = "" if ignore_index is None else f", or {ignore_index} for ignored"
    hint = None
    if len(classes) == 2 and len(found) == 1 and 0 <= found[0] <= 65535:
        hint = f"if {found[0]:g} means {classes[1]}, say `colors: {{{classes[1]}: {found[0] * step:g}}}`"
    return Problem(
        "mask holds a value that is no class",
        file=file,
        found=named + more,
        allowed=f"0 to {len(classes) - 1} ({', '.join(classes)}){ignored}",
        hint=hint,
    )


def _pack(values: NDArray[Any]) -> NDArray[np.int64]:
    red, green, blue = np.moveaxis(values.astype(np.int64), -1, 0)
    return np.asarray((red << 32) | (green << 16) | blue)


def _unpack(packed: int) -> list[int]:
    return [packed >> 32, (packed >> 16) & 0xFFFF, packed & 0xFFFF]


def _color_table(spec: FolderSource | RasterSource) -> dict[int, int] | None:
    """Packed color -> class index, 255 for the color of ignored pixels."""
    if spec.colors is None:
        return None
    indices = {name: index for index, name in enumerate(spec.classes)} | {"ignore": IGNORE_INDEX}
    black: dict[str, Color] = {spec.classes[0]: 0}
    colors = {**black, **spec.colors}
    return {
        int(_pack(np.array((color,) * 3 if isinstance(color, int) else color))): indices[name]
        for name, color in colors.items()
    }
