"""Masks as COCO writes them: lengths of runs down the columns, zeros first, plain or as characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def decoded(segmentation: Mapping[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    """Return where (height, width) an object is.

    Args:
        segmentation: ``size``, (height, width), and ``counts``: numbers, or text that holds them.
        height: of the image.
        width: of the image.

    Raises:
        ValueError: the runs don't fill the image.
        KeyError: there are no counts.
    """
    counts = segmentation["counts"]
    runs = _from_text(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"its run lengths are of {segmentation['size']}, the image of {[height, width]}")
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise ValueError(f"its run lengths fill {sum(runs)} pixels of {height * width}")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(inside.reshape(width, height).T)


def _from_text(text: str) -> Sequence[int]:
    """Read numbers of 5 bits a character, the sixth bit for more to come.

    From the fourth on, each is a difference to the one before the last (``rleFrString`` of pycocotools'
    ``maskApi.c``).
    """
    runs: list[int] = []
    at = 0
    while at < len(text):
        value = shift = 0
        more = True
        while more:
            if at >= len(text):
                raise ValueError("its run lengths end in the middle of a number")
            code = ord(text[at]) - 48
            value |= (code & 0x1F) << shift
            more, at, shift = bool(code & 0x20), at + 1, shift + 5
            if not more and code & 0x10:
                value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
