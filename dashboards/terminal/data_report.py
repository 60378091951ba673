"""What `lossweep check` prints of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from rich.console import Console
from rich.text import Text

from lossweep.dashboards.terminal.named_rows import named_rows
from lossweep.trainers.data.checking.objects import PERCENTILES
from lossweep.trainers.data.checking.report import DataReport, SplitReport

POWERS: Final = (0.5, 1.0)
"""Class weights are shown for these powers of 1/f."""

Rows: TypeAlias = Iterator[tuple[str, ...]]
"""The titles of a table's columns, then its rows, the name of each first."""


def print_data_report(report: DataReport, console: Console) -> None:
    """Print the figures as tables that fit the console, and each remark as one line.

    A remark holds paths and a fingerprint: it is never broken into lines, so that they can be searched and
    copied; a terminal folds it by itself.
    """
    if report.splits:
        for line in _heads(report):
            _print_line(console, line)
        for titles, *rows in map(list, (_splits(report), _classes(report), _objects(report))):
            console.print()
            console.print(named_rows(titles, rows, console.width, figures=True))
    for line in report.lines():
        _print_line(console, line)


def _print_line(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)


def _heads(report: DataReport) -> Iterator[str]:
    bands = f"{report.bands} band{'s' if report.bands > 1 else ''} of {report.dtype}"
    yield f"{bands}, {report.fingerprint}" if report.fingerprint else bands
    levels = (f"{mean:.4g} +- {std:.4g}" for mean, std in zip(report.mean, report.std, strict=True))
    yield f"training mean and standard deviation of the bands: {', '.join(levels)}"


def _splits(report: DataReport) -> Rows:
    yield "split", "images", "sizes (width x height)", "no foreground", "ignored"
    for split in report.splits:
        empty = f"{split.empty} ({split.empty / max(1, split.images):.1%})"
        yield split.name, str(split.images), _sizes(split), empty, f"{split.ignored:.3%}"


def _classes(report: DataReport) -> Rows:
    shown = [split for split in report.splits if split.images]
    yield (
        "class",
        *(f"{split.name}, % of pixels (images)" for split in shown),
        *(f"weight 1/f^{power:g}" for power in POWERS),
    )
    weights = [report.weights(power) for power in POWERS]
    for index, name in enumerate(report.classes):
        shares = (f"{100 * split.fractions[index]:.3f} ({split.shown_in[index]})" for split in shown)
        yield f"{index} {name}", *shares, *(f"{weight[index]:.4g}" for weight in weights)


def _objects(report: DataReport) -> Rows:
    percentiles = ", ".join(f"{p} %" for p in PERCENTILES)
    yield "objects of", "split", "count", "an image", f"area at {percentiles} (pixels)", "largest"
    for index, name in list(enumerate(report.classes))[1:]:
        for split in report.splits:
            found = split.objects[index]
            if split.images:
                areas = ", ".join(f"{area:.0f}" for area in found.percentiles) or "-"
                each = f"{found.count / split.images:.2f}"
                yield name, split.name, str(found.count), each, areas, str(found.largest)


def _sizes(split: SplitReport) -> str:
    if not split.sizes:
        return "-"
    (first_height, first_width), (last_height, last_width) = split.sizes[0], split.sizes[-1]
    if len(split.sizes) == 1:
        return f"{first_width} x {first_height}"
    return f"{len(split.sizes)} sizes, {first_width} x {first_height} to {last_width} x {last_height}"
