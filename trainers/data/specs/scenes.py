"""Procedural scenes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lossweep.trainers.data.source_spec import SourceSpec


class ScenesSource(SourceSpec):
    """Procedural satellite scenes, deterministic by seed: nothing to download.

    Two classes are background and vehicle; with three, trucks are a class of their own. A scene has the size
    of a tile.
    """

    place = 1
    reader = "lossweep.trainers.data.sources.scenes:Scenes"

    source: Literal["scenes"]
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=3)] = ("background", "vehicle")
    tile: int = Field(default=96, ge=32, multiple_of=32)
    train: int = Field(default=128, ge=1)
    val: int = Field(default=64, ge=1)
    test: int = Field(default=64, ge=1)
    seed: int = Field(default=0, ge=0)
