"""Where on Earth a scene's pixels lie, and whether two scenes' pixels lie on each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lossweep.trainers.data.spec import SplitName


def placed(dataset: Any) -> bool:
    """Whether a file says where it lies."""
    return bool(dataset.crs) or not dataset.transform.is_identity


def same_system(image: Any, mask: Any, warp: Any) -> bool:
    """Whether equal coordinates are equal places.

    One system can be written in many ways, and some that are called differently differ by less than can
    be seen: what counts is where the image's corners lie in the mask's.
    """
    if image.crs == mask.crs:
        return True
    left, bottom, right, top = image.bounds
    columns, rows = [left, right, right, left], [top, top, bottom, bottom]
    try:
        there = warp.transform(image.crs, mask.crs, columns, rows)
    except Exception:  # PROJ raises many kinds where two systems have nothing in common
        return False
    near = 0.5 * max(abs(value) for value in image.transform[:2])
    return all(
        abs(one - other) <= near
        for here, moved in zip((columns, rows), there, strict=True)
        for one, other in zip(here, moved, strict=True)
    )


def name_of(crs: Any) -> str:
    """What a coordinate system is called, on a few words."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else " ".join(str(crs.to_wkt()).split())[:60]


def close(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two transforms put pixels within a hundredth of one of the same place."""
    pixel = max(abs(value) for value in one[:2])
    return all(abs(a - b) <= 0.01 * pixel for a, b in zip(one[:6], other[:6], strict=True))


def overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two (left, bottom, right, top) boxes share more than an edge.

    Without a georeference rows run downwards, and a box's bottom is its greater end.
    """
    ends = [
        (
            max(min(one[i], one[i + 2]), min(other[i], other[i + 2])),
            min(max(one[i], one[i + 2]), max(other[i], other[i + 2])),
        )
        for i in (0, 1)
    ]
    return all(low < high for low, high in ends)


def touching(footprints: Sequence[tuple[str, SplitName | None, Any]]) -> Iterator[str]:
    """Scenes of different splits that show the same ground."""
    for position, (name, split, (crs, bounds)) in enumerate(footprints):
        for other, other_split, (other_crs, other_bounds) in footprints[:position]:
            if split != other_split and crs and crs == other_crs and overlap(bounds, other_bounds):
                yield f"{other} ({other_split}) and {name} ({split}) show the same ground: they leak"
