"""The result of checking a data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lossweep.spaces.files.errors import Problem, one_line
from lossweep.trainers.data.checking.objects import ObjectSizes
from lossweep.trainers.data.spec import SplitName


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What one split holds.

    Attributes:
        name: of the split.
        images: how many.
        sizes: the distinct (height, width), smallest first.
        fractions: each class's share of the labelled pixels.
        shown_in: images that show each class.
        ignored: share of all pixels.
        empty: images without foreground.
        objects: of each class; the background has none.
    """

    name: SplitName
    images: int
    sizes: tuple[tuple[int, int], ...]
    fractions: tuple[float, ...]
    shown_in: tuple[int, ...]
    ignored: float
    empty: int
    objects: tuple[ObjectSizes, ...]


@dataclass(frozen=True, slots=True)
class DataReport:
    """What is known of a data set.

    Attributes:
        classes: their names, background first.
        bands: of an image; 0 when nothing could be decoded.
        dtype: the images are kept in.
        mean: of each band over labelled training pixels.
        std: likewise.
        fingerprint: ``sha256:...`` of the decoded data; empty with problems.
        splits: train, val and test.
        problems: what a sweep would refuse to start on.
        suspicions: what a person should look at, one line each.
        notes: what was done silently, one line each.
    """

    classes: tuple[str, ...]
    bands: int = 0
    dtype: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fingerprint: str = ""
    splits: tuple[SplitReport, ...] = ()
    problems: tuple[Problem, ...] = ()
    suspicions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a sweep may start."""
        return not self.problems

    def weights(self, power: float) -> tuple[float, ...]:
        """Class weights (1/f)^power from training, the commonest class at 1; infinite for an absent class."""
        fractions = self.splits[0].fractions
        most = max(fractions)
        return tuple((most / f) ** power if f else float("inf") for f in fractions)

    def lines(self) -> list[str]:
        """What a person should read beside the figures: suspicions, notes and problems, each on one line."""
        return [
            *_section("suspicious", self.suspicions),
            *_section("notes", self.notes),
            *_section(f"problems ({len(self.problems)})", map(str, self.problems)),
        ]


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield from ("", f"{title}:", *(f"  {one_line(line)}" for line in found))
