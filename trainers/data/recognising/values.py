"""What masks hold: how many pixels have which value or color, mask by mask."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.recognising.known import Value
from lossweep.trainers.data.sources.images import read_picture
from lossweep.trainers.data.sources.picture import Picture
from lossweep.trainers.data.sources.source import Progress

MOST_VALUES: Final = 256
"""A file with more values or colors than this is no mask."""
MOST_MASKS: Final = 4000
_LARGEST: Final = 400_000_000


@dataclass(slots=True)
class MaskValues:
    """What was found in masks.

    Attributes:
        pixels: that have each value, over all masks looked at.
        shown_in: the masks that show each value, by their position.
        looked_at: masks.
        of: masks there are.
        colored: whether the values are colors.
        palette: colors of the indices that occur, where the files are palette files.
        lossy: a mask whose compression changes values; None where there is none.
        too_many: a mask with more than `MOST_VALUES` values; None where there is none.
        damaged: the first mask that can't be read, and why.
    """

    pixels: Counter[Value] = field(default_factory=Counter)
    shown_in: dict[Value, set[int]] = field(default_factory=dict)
    looked_at: int = 0
    of: int = 0
    colored: bool = False
    palette: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    lossy: Path | None = None
    too_many: Path | None = None
    damaged: UserError | None = None

    def share(self, value: Value) -> float:
        """A value's share of all pixels."""
        return self.pixels[value] / max(1, self.pixels.total())

    def shown(self, value: Value) -> float:
        """The share of the masks that show a value."""
        return len(self.shown_in.get(value, ())) / max(1, self.looked_at)


@dataclass(frozen=True, slots=True)
class _Looked:
    counts: Counter[Value] | None
    colored: bool = False
    palette: NDArray[np.uint8] | None = None
    lossy: bool = False
    error: UserError | None = None


def look(masks: Sequence[Path], progress: Progress) -> MaskValues:
    """Decode masks, all of them or as many as a person waits for, spread evenly, and count their values."""
    step = max(1, -(-len(masks) // MOST_MASKS))
    positions = range(0, len(masks), step)
    found = MaskValues(of=len(masks))
    for position, looked in zip(positions, _looked_at([masks[at] for at in positions]), strict=True):
        found.looked_at += 1
        progress("masks", found.looked_at, len(positions))
        if looked.error is not None:
            found.damaged = found.damaged or looked.error
            continue
        if looked.lossy:
            found.lossy = found.lossy or masks[position]
        if looked.counts is None:
            found.too_many = found.too_many or masks[position]
            continue
        found.colored = found.colored or looked.colored
        found.pixels.update(looked.counts)
        for value in looked.counts:
            found.shown_in.setdefault(value, set()).add(position)
            if looked.palette is not None and isinstance(value, int) and value < len(looked.palette):
                red, green, blue = map(int, looked.palette[value])
                found.palette[value] = (red, green, blue)
    return found


def is_mask(path: Path) -> bool:
    """Whether a picture looks like a mask: few values, in areas."""
    looked = _look_at(path)
    return looked.counts is not None and len(looked.counts) <= MOST_VALUES // 4


def _looked_at(masks: Sequence[Path]) -> Iterator[_Looked]:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(_look_at, masks)


def _look_at(path: Path) -> _Looked:
    try:
        picture = read_picture(path, _LARGEST)
    except UserError as error:
        return _Looked(None, error=error)
    values = picture.values
    if values.shape[2] not in (1, 3) or values.dtype.kind not in "iuf":
        return _Looked(None, lossy=picture.lossy)
    counts = _counted(values, picture)
    return _Looked(counts, values.shape[2] == 3, picture.palette, picture.lossy)


def _counted(values: NDArray[Any], picture: Picture) -> Counter[Value] | None:
    """Count values by their runs: masks have far fewer runs than pixels. None: there are too many values."""
    flat = values.reshape(-1, values.shape[2])
    if flat.dtype.kind == "f" and not (np.isfinite(flat) & (flat == np.rint(flat))).all():
        return None
    if len(flat) == 0:
        return Counter()
    wide = flat.astype(np.int64)
    packed = wide[:, 0] if wide.shape[1] == 1 else (wide[:, 0] << 32) | (wide[:, 1] << 16) | wide[:, 2]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(packed)) + 1])
    lengths = np.diff(np.concatenate([starts, [len(packed)]]))
    found, inverse = np.unique(packed[starts], return_inverse=True)
    if len(found) > MOST_VALUES:
        return None
    totals = np.bincount(inverse.ravel(), weights=lengths)
    single = flat.shape[1] == 1
    return Counter(
        {
            (
                int(value) if single else (int(value) >> 32, (int(value) >> 16) & 0xFFFF, int(value) & 0xFFFF)
            ): int(n)
            for value, n in zip(found, totals, strict=True)
        }
    )
