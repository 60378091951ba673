"""What follows from masks, kept beside a store's pixels: computed once a machine, then mapped from disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.sources.source import Progress, silent
from lossweep.trainers.data.spec import SplitName
from lossweep.trainers.data.store.decoded import Store
from lossweep.trainers.maps.known import narrowed, narrowest
from lossweep.trainers.maps.mask_map import MaskMap

_PIECE = 1 << 22
"""Pixels that are copied at once."""


def kept_map(store: Store, split: SplitName, kind: MaskMap, progress: Progress = silent) -> NDArray[Any]:
    """Return a map of a split's images, computing it first when the store has none.

    Several processes may call this at once: one computes, the others wait for it. A file is written under
    another name and renamed, so that a killed process leaves none half-written behind.

    Args:
        store: of the masks; what is not on disk is computed in memory.
        split: whose images.
        kind: of the map.
        progress: told of every image.

    Returns:
        (pixels, planes), in the order of the split's masks.

    Raises:
        UserError: the map can't be written.
    """
    shape = (store.pixels_of(split), kind.planes(len(store.meta.classes)))
    if store.folder is None or not shape[0]:
        found = list(_of_images(store, split, kind, progress))
        return narrowed(np.concatenate(found)) if found else np.zeros(shape, kind.dtype)
    place = store.folder / "maps" / f"{kind.name}-{kind.version}.{split}.npy"
    if (kept := _opened(place, shape)) is not None:
        return kept
    try:
        place.parent.mkdir(exist_ok=True)
        with FileLock(store.folder.with_suffix(".lock")):
            if (kept := _opened(place, shape)) is not None:  # another process computed it meanwhile
                return kept
            for torn in place.parent.glob("*.building"):  # of a process that was killed: we hold the lock
                torn.unlink()
            building = place.with_suffix(".building")
            fitting = _write(building, shape, kind.dtype, _of_images(store, split, kind, progress))
            if kind.dtype == np.int32 and fitting != np.int32:
                wide, building = building, place.with_suffix(".narrow.building")
                _write(building, shape, fitting, _in_pieces(np.load(wide, mmap_mode="r")))
                wide.unlink()
            building.replace(place)
    except OSError as error:
        problem = Problem(f"can't write the data cache: {error.strerror or error}", file=str(place.parent))
        raise UserError(problem) from error
    kept = _opened(place, shape)
    assert kept is not None  # just written
    return kept


def _write(
    path: Path, shape: tuple[int, int], dtype: type[np.generic], pieces: Iterator[NDArray[Any]]
) -> type[np.generic]:
    """Write a map piece by piece; returns the narrowest dtype that would hold its whole numbers.

    A file that is written, not mapped: a full disk is an error then, not the end of the process.
    """
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    low, high = 0.0, 0.0
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        for values in pieces:
            low, high = min(low, values.min()), max(high, values.max())
            file.write(values.astype(dtype).tobytes())
        file.flush()
        os.fsync(file.fileno())
    return narrowest(low, high)


def _in_pieces(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for first in range(0, len(values), _PIECE):
        yield values[first : first + _PIECE]


def _of_images(store: Store, split: SplitName, kind: MaskMap, progress: Progress) -> Iterator[NDArray[Any]]:
    classes = len(store.meta.classes)
    total = len(store.items.rows(split))
    for done, mask in enumerate(store.masks_of(split), start=1):
        values = kind.compute(np.asarray(mask), classes).astype(kind.dtype, copy=False)
        yield values.reshape(-1, kind.planes(classes))
        progress(f"{kind.name} of {split}", done, total)


def _opened(path: Path, shape: tuple[int, int]) -> NDArray[Any] | None:
    """Map a file; None when there is none, or it is not whole."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape else None
