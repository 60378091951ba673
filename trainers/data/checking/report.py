"""The result of checking a data set, and how it is printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lossweep.spaces.files.errors import Problem, one_line
from lossweep.trainers.data.checking.objects import PERCENTILES, ObjectSizes
from lossweep.trainers.data.spec import SplitName

POWERS = (0.5, 1.0)
"""Class weights are shown for these powers of 1/f."""


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
        """The report as plain lines."""
        return [
            *self._split_lines(),
            *self._class_lines(),
            *self._object_lines(),
            *_section("suspicious", self.suspicions),
            *_section("notes", self.notes),
            *_section(f"problems ({len(self.problems)})", map(str, self.problems)),
        ]

    def _split_lines(self) -> Iterator[str]:
        if not self.splits:
            return
        yield f"{self.bands} band{'s' if self.bands > 1 else ''} of {self.dtype}" + (
            f", {self.fingerprint}" if self.fingerprint else ""
        )
        levels = (f"{mean:.4g} +- {std:.4g}" for mean, std in zip(self.mean, self.std, strict=True))
        yield f"training mean and standard deviation of the bands: {', '.join(levels)}"
        rows = [("split", "images", "sizes (width x height)", "no foreground", "ignored")]
        for split in self.splits:
            empty = f"{split.empty} ({split.empty / max(1, split.images):.1%})"
            rows.append((split.name, str(split.images), _sizes(split), empty, f"{split.ignored:.3%}"))
        yield from ("", *_table(rows))

    def _class_lines(self) -> Iterator[str]:
        if not self.splits:
            return
        shown = [split for split in self.splits if split.images]
        rows = [
            (
                "class",
                *(f"{split.name}, % of pixels (images)" for split in shown),
                *(f"weight 1/f^{power:g}" for power in POWERS),
            )
        ]
        weights = [self.weights(power) for power in POWERS]
        for index, name in enumerate(self.classes):
            shares = (f"{100 * split.fractions[index]:.3f} ({split.shown_in[index]})" for split in shown)
            rows.append((f"{index} {name}", *shares, *(f"{weight[index]:.4g}" for weight in weights)))
        yield from ("", *_table(rows))

    def _object_lines(self) -> Iterator[str]:
        if not self.splits:
            return
        percentiles = ", ".join(f"{p} %" for p in PERCENTILES)
        rows = [("objects of", "split", "count", "an image", f"area at {percentiles} (pixels)", "largest")]
        for index, name in list(enumerate(self.classes))[1:]:
            for split in self.splits:
                found = split.objects[index]
                if split.images:
                    areas = ", ".join(f"{area:.0f}" for area in found.percentiles) or "-"
                    each = f"{found.count / split.images:.2f}"
                    rows.append((name, split.name, str(found.count), each, areas, str(found.largest)))
        yield from ("", *_table(rows))


def _sizes(split: SplitReport) -> str:
    if not split.sizes:
        return "-"
    (first_height, first_width), (last_height, last_width) = split.sizes[0], split.sizes[-1]
    if len(split.sizes) == 1:
        return f"{first_width} x {first_height}"
    return f"{len(split.sizes)} sizes, {first_width} x {first_height} to {last_width} x {last_height}"


def _section(title: str, lines: Iterator[str] | tuple[str, ...] | map[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield from ("", f"{title}:", *(f"  {one_line(line)}" for line in found))


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Columns of equal width; the first is aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((row[0].ljust(widths[0]), *others)).rstrip()
