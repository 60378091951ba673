"""What is predicted of an image so far, on disk: a file a row of tiles, so that a stopped run goes on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossweep.trainers.inference.blending import Band


class Parts:
    """The bands of one image. Each is written under another name and renamed: what is there, is whole.

    Args:
        folder: of this image alone; it is made when missing.
        key: what the bands follow from; a folder of another key is emptied.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.folder = folder
        said = json.dumps(key, sort_keys=True)
        note = folder / "key.json"
        if not note.is_file() or note.read_text(encoding="utf-8") != said:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            note.write_text(said, encoding="utf-8")

    @property
    def done(self) -> int:
        """Rows of tiles that need not be predicted again."""
        count = 0
        while self._place(count).is_file():
            count += 1
        return count

    def add(self, band: Band) -> None:
        """Keep a band."""
        place = self._place(band.index)
        building = place.with_suffix(".writing")
        arrays: dict[str, NDArray[Any]] = {"mask": band.mask, "top": np.asarray(band.top)}
        if band.probabilities is not None:
            arrays["probabilities"] = band.probabilities
        with building.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        building.replace(place)

    def bands(self) -> Iterator[Band]:
        """Yield all of them, top to bottom."""
        for index in range(self.done):
            with np.load(self._place(index), allow_pickle=False) as arrays:
                shares = arrays.get("probabilities")
                yield Band(index, int(arrays["top"]), arrays["mask"], shares)

    def remove(self) -> None:
        """Remove what is no longer needed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, index: int) -> Path:
        return self.folder / f"{index:06d}.npz"
