"""What `lossweep check` prints of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossweep.trainers.data.checking.objects import PERCENTILES
from lossweep.trainers.data.checking.report import DataReport, SplitReport

POWERS: Final = (0.5, 1.0)
"""Class weights are shown for these powers of 1/f."""


def print_data_report(report: DataReport, console: Console) -> None:
    """Print the figures as tables that fit the console, and each remark as one line.

    A remark holds paths and a fingerprint: it is never broken into lines, so that they can be searched and
    copied; a terminal folds it by itself.
    """
    if report.splits:
        for line in _heads(report):
            _print_line(console, line)
        for table in (_splits(report), _classes(report), _objects(report)):
            console.print()
            console.print(table)
    for line in report.lines():
        _print_line(console, line)


def _print_line(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)


def _heads(report: DataReport) -> Iterator[str]:
    bands = f"{report.bands} band{'s' if report.bands > 1 else ''} of {report.dtype}"
    yield f"{bands}, {report.fingerprint}" if report.fingerprint else bands
    levels = (f"{mean:.4g} +- {std:.4g}" for mean, std in zip(report.mean, report.std, strict=True))
    yield f"training mean and standard deviation of the bands: {', '.join(levels)}"


def _splits(report: DataReport) -> Table:
    table = _table("split", "images", "sizes (width x height)", "no foreground", "ignored")
    for split in report.splits:
        empty = f"{split.empty} ({split.empty / max(1, split.images):.1%})"
        table.add_row(split.name, str(split.images), _sizes(split), empty, f"{split.ignored:.3%}")
    return table


def _classes(report: DataReport) -> Table:
    shown = [split for split in report.splits if split.images]
    table = _table(
        "class",
        *(f"{split.name}, % of pixels (images)" for split in shown),
        *(f"weight 1/f^{power:g}" for power in POWERS),
    )
    weights = [report.weights(power) for power in POWERS]
    for index, name in enumerate(report.classes):
        shares = (f"{100 * split.fractions[index]:.3f} ({split.shown_in[index]})" for split in shown)
        table.add_row(Text(f"{index} {name}"), *shares, *(f"{weight[index]:.4g}" for weight in weights))
    return table


def _objects(report: DataReport) -> Table:
    percentiles = ", ".join(f"{p} %" for p in PERCENTILES)
    table = _table("objects of", "split", "count", "an image", f"area at {percentiles} (pixels)", "largest")
    for index, name in list(enumerate(report.classes))[1:]:
        for split in report.splits:
            found = split.objects[index]
            if split.images:
                areas = ", ".join(f"{area:.0f}" for area in found.percentiles) or "-"
                each = f"{found.count / split.images:.2f}"
                table.add_row(Text(name), split.name, str(found.count), each, areas, str(found.largest))
    return table


def _sizes(split: SplitReport) -> str:
    if not split.sizes:
        return "-"
    (first_height, first_width), (last_height, last_width) = split.sizes[0], split.sizes[-1]
    if len(split.sizes) == 1:
        return f"{first_width} x {first_height}"
    return f"{len(split.sizes)} sizes, {first_width} x {first_height} to {last_width} x {last_height}"


def _table(first: str, *others: str) -> Table:
    """Columns of figures behind a name; titles, and where there is too little room names, are folded."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(Text(first), overflow="fold")
    for title in others:
        table.add_column(Text(title), justify="right", overflow="fold")
    return table
