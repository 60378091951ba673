"""Two trials side by side on the same validation tiles, with the key to the colours."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from lossweep.dashboards.report.overlays import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, OverlayTile


@dataclass(frozen=True, slots=True)
class ColorKey:
    """What a colour means.

    Attributes:
        color: as CSS writes it.
        name: of what is painted so.
    """

    color: str
    name: str


@dataclass(frozen=True, slots=True)
class Picture:
    """One trial's overlay of a tile.

    Attributes:
        role: whose it is.
        encoded: its PNG in base 64.
        hit: pixels found.
        alarm: pixels of false alarms.
        miss: pixels missed.
    """

    role: str
    encoded: str
    hit: int
    alarm: int
    miss: int


@dataclass(frozen=True, slots=True)
class Pair:
    """One tile as both see it.

    Attributes:
        name: of the tile.
        pictures: the control's, then the contender's.
    """

    name: str
    pictures: tuple[Picture, Picture]


@dataclass(frozen=True, slots=True)
class Gallery:
    """All tiles; no pairs when there are no two checkpoints.

    Attributes:
        control: what the control is, and how many were tried on each side.
        key: the colours.
        pairs: one a tile.
    """

    control: str
    key: tuple[ColorKey, ...]
    pairs: tuple[Pair, ...]


def gallery(tiles: Sequence[OverlayTile], ours: str, control: str) -> Gallery:
    """Return the tiles as contender and control see them.

    Args:
        tiles: pairs of pictures.
        ours: what the trial is that is held against the control.
        control: what that is.
    """
    return Gallery(
        control=control,
        key=color_keys(),
        pairs=tuple(
            Pair(
                tile.name,
                (
                    picture("control", tile.control, tile.control_counts),
                    picture(ours, tile.winner, tile.winner_counts),
                ),
            )
            for tile in tiles
        ),
    )


def color_keys() -> tuple[ColorKey, ...]:
    """Return what the colours of overlays mean."""
    key = (
        (TRUE_POSITIVE, "found (true positive)"),
        (FALSE_POSITIVE, "false alarm (false positive)"),
        (FALSE_NEGATIVE, "missed (false negative)"),
    )
    return tuple(ColorKey(f"rgb{color}", name) for color, name in key)


def picture(role: str, png: bytes, counts: tuple[int, int, int]) -> Picture:
    """Return an overlay, with its pixels found, falsely alarmed and missed."""
    return Picture(role, base64.b64encode(png).decode("ascii"), *counts)
