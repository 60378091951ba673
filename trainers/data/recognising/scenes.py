"""Whether pictures are scenes that have to be read by windows, and how a few of them are divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.recognising.candidate import Candidate
from lossweep.trainers.data.recognising.choosing import Pairs
from lossweep.trainers.data.sources.images import read_header

_SCENES: Final = (".tif", ".tiff")
_LARGE: Final = 4096 * 4096
"""Pixels from which a TIFF is read by windows."""
_FEW: Final = 8
"""Scenes up to which each is divided by blocks, lest one split be one scene."""
_MOST_SAMPLED: Final = 32
_BLOCKS: Final = 30
"""There should be as many, so that 15 % of them are some."""
_UNREADABLE: Final = 1 << 40


def as_scenes(candidate: Candidate, pairs: Pairs) -> Candidate:
    """Return a candidate whose images are scenes as the raster source reads them; others as they are."""
    images = [image for found in pairs.values() for image, _ in found]
    if not all(image.suffix.lower() in _SCENES for image in images):
        return candidate
    sizes = [_pixels(image) for image in images[:: max(1, len(images) // _MOST_SAMPLED)]]
    if candidate.source == "folder" and max(sizes) < _LARGE:
        return candidate
    keys: dict[str, Any] = dict(candidate.keys)
    if None in pairs and len(images) <= _FEW:
        keys["blocks"] = _blocks(sizes)
        remark = f"{len(images)} scenes are divided by blocks of {keys['blocks']['size']} pixels"
        candidate = replace(candidate, remarks=(*candidate.remarks, remark))
    return replace(candidate, source="raster", keys=keys)


def _blocks(sizes: Sequence[int]) -> dict[str, int]:
    side = int((sum(sizes) / _BLOCKS) ** 0.5)
    size = min(2048, max(64, side // 64 * 64))
    return {"size": size, "gap": min(64, size // 4)}


def _pixels(image: Path) -> int:
    try:
        header = read_header(image, _UNREADABLE)
    except UserError:
        return 0
    return header.width * header.height
