"""What a source of data is: a listing of items, a key of their content, and a way to decode one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.files.errors import Problem
from lossweep.trainers.data.spec import SPLITS, SplitName

Progress = Callable[[str, int, int], None]
"""Called with (what is done, how many are done, of how many)."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]


def silent(stage: str, done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image with its mask, not decoded yet.

    Attributes:
        name: unique within its split, and what a person finds it by.
        split: which split it belongs to.
        place: where the source finds it; only the source understands it.
        scene: what it is a part of, as a person finds it; empty: it is whole.
    """

    name: str
    split: SplitName
    place: Any
    scene: str = ""


@dataclass(frozen=True, slots=True)
class MaskFile:
    """What a mask's file says beside the class of each pixel, to be compared with the other masks.

    Attributes:
        name: what a person finds it by; the windows of a scene share it.
        labelled: pixels that belong to a class.
        foreground: those of a class other than the background.
        ignored: pixels that hold the ignored value; neither nodata nor what the image doesn't show.
        palette: the colors of the indices that occur, of a palette file whose indices are the classes.
    """

    name: str
    labelled: int
    foreground: int
    ignored: int
    palette: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Decoded:
    """One image with its mask.

    Attributes:
        image: (height, width, bands).
        mask: (height, width) class indices, 255 where ignored.
        notes: kinds of what was done silently, such as "alpha channel dropped".
        suspicions: kinds of what a person should look at, such as "the mask is a JPEG".
        file: what its mask's file says; None when it is not from a file.
    """

    image: Pixels
    mask: NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    suspicions: tuple[str, ...] = ()
    file: MaskFile | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source found before decoding anything.

    Attributes:
        items: of all splits, in order.
        problems: missing masks, unreadable folders and the like.
        notes: what was left out on purpose.
    """

    items: tuple[Item, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, split: SplitName) -> tuple[Item, ...]:
        """The items of one split."""
        return tuple(item for item in self.items if item.split == split)

    @property
    def counts(self) -> Mapping[SplitName, int]:
        """Items of each split."""
        return {split: len(self.of(split)) for split in SPLITS}


class Source(Protocol):
    """Where images come from. ``decode`` may be called from several threads at once."""

    def listing(self) -> Listing:
        """List the items without decoding any."""

    def content_key(self, listing: Listing, cache: Path, progress: Progress) -> str:
        """Return a text that changes whenever a decoded pixel of the listed items could.

        ``cache`` is the folder in which a source may remember what it found out.
        """

    def glance(self, item: Item) -> tuple[Problem, ...]:
        """Read an item's headers and return what is wrong with them; cheap."""

    def decode(self, item: Item) -> Decoded:
        """Decode an item.

        Raises:
            UserError: the files are damaged, or don't fit each other or the classes.
        """


@dataclass(slots=True)
class Problems:
    """Collects problems that are all to be told at once."""

    found: list[Problem] = field(default_factory=list)

    def add(
        self,
        message: str,
        file: Path,
        hint: str | None = None,
        allowed: str | None = None,
        found: str | None = None,
    ) -> None:
        """Add one problem of a file or folder."""
        self.found.append(Problem(message, file=str(file), hint=hint, allowed=allowed, found=found))
