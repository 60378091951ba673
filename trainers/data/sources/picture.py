"""A decoded file before anyone decides what its bands mean: values as stored, and what is said of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lossweep.trainers.data.sources.source import Pixels

TURNED: Final = {
    2: "mirrored left to right",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored and turned by 90 degrees",
    6: "turned by 90 degrees clockwise",
    7: "mirrored and turned by 90 degrees",
    8: "turned by 90 degrees counterclockwise",
}
"""How a file of each EXIF orientation is shown, seen from how it is stored; 1 is shown as it is stored."""


class NotUnderstood(ValueError):
    """A file may be whole, but is of a kind that isn't read. Says so in a sentence of its own."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded file, its bands as stored.

    Attributes:
        values: (height, width, bands), any dtype; palette files hold indices.
        alpha: (height, width) bool, True where at least partly opaque; None without an alpha channel.
        palette: (colors, 3) of a palette file, else None.
        step: of a grey file of 1, 2 or 4 bits: how many of 255 levels one of its own is.
        nodata: the value that the file says is none; None: every value is one.
        orientation: EXIF's, 1 to 8.
        lossy: whether the file's compression changed values.
        notes: what was done silently to read it.
    """

    values: NDArray[Any]
    alpha: NDArray[np.bool_] | None = None
    palette: NDArray[np.uint8] | None = None
    step: int = 1
    nodata: float | None = None
    orientation: int = 1
    lossy: bool = False
    notes: tuple[str, ...] = ()

    def upright(self) -> Picture:
        """As it is shown: turned and mirrored as its orientation says."""
        alpha = None if self.alpha is None else upright(self.alpha, self.orientation)
        return replace(self, values=upright(self.values, self.orientation), alpha=alpha, orientation=1)

    def valid(self) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
        """Where an image (height, width) shows something: neither transparent nor nodata; and notes on it.

        None: everywhere.
        """
        valid, notes = self.alpha, list[str]()
        if valid is not None:
            notes.append("alpha channel dropped" if valid.all() else "transparent pixels taken as ignored")
        if self.nodata is not None and (nothing := holds_nodata(self.values, self.nodata)).any():
            valid = ~nothing if valid is None else valid & ~nothing
            notes.append(f"pixels of the file's nodata value ({self.nodata:g}) taken as ignored")
        return valid, tuple(notes)


def orientation(tag: Any) -> int:
    """Return what a file's orientation tag says; 1 when it says nothing that is known."""
    return int(tag) if tag in TURNED else 1


def split_alpha(values: NDArray[Any], alpha: bool) -> Picture:
    """A picture of bands of which the last may be an alpha channel."""
    values = three(values)
    return Picture(values[..., :-1], alpha=values[..., -1] > 0) if alpha else Picture(values)


def three(values: NDArray[Any]) -> NDArray[Any]:
    """Give a grey image (height, width) its band."""
    return values[..., None] if values.ndim == 2 else values


def upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror an array (height, width, ...) from how it is stored to how it is shown."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values


def holds_nodata(values: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Where (height, width) an image's values (height, width, bands) are nodata.

    An 8- or 16-bit pixel is when all of its bands are, as GDAL has it: a dark one may have a 0. Where values
    are scaled, one such band is enough: it would set the scale of all.
    """
    if math.isnan(nodata):
        found = values != values
    elif values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            found = values == values.dtype.type(nodata)  # the text in the file has another precision
    else:
        found = values == nodata
    whole = values.dtype in (np.uint8, np.uint16)
    return np.asarray(found.all(axis=2) if whole else found.any(axis=2))


def as_image(picture: Picture) -> tuple[Pixels, tuple[str, ...]]:
    """Return a picture as an image (height, width, bands), and notes on what was changed.

    It is uint8, uint16, or float32 for values that have to be scaled.

    Raises:
        ValueError: its values fit none of these.
    """
    values, notes = picture.values, picture.notes
    if picture.palette is not None:
        if int(values.max(initial=0)) >= len(picture.palette):
            raise ValueError(
                f"its palette has {len(picture.palette)} colors, but a pixel names color {values.max()}"
            )
        note = "palette image, its colors taken as red, green and blue"
        return picture.palette[values[..., 0]], (*notes, note)
    if values.dtype in (np.uint8, np.uint16):
        return (values * np.uint8(picture.step) if picture.step > 1 else values), notes
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what gets infinite is told where infinite values are
            return values.astype(np.float32), notes
    if values.dtype.kind in "iu":
        return values.astype(np.float32), (*notes, f"{values.dtype} values scaled by percentiles")
    raise ValueError(f"its samples are {values.dtype}, but uint8, uint16 or float is needed")
