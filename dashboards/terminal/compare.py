"""Two sweeps side by side, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from lossweep.dashboards.comparison.two_sweeps import Comparison
from lossweep.dashboards.terminal.named_rows import named_rows


@dataclass(frozen=True, slots=True)
class ComparisonTable:
    """The verdict, each reason to distrust it, the two sweeps and the settings that differ."""

    comparison: Comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield its parts, for rich."""
        found, width = self.comparison, options.max_width
        titles = ("", *found.names)
        yield Text(found.verdict, style="bold")
        for warning in found.warnings:
            yield Text(f"Beware: {warning}", style="yellow")
        yield Text()
        yield named_rows(titles, found.rows, width)
        if found.settings:
            yield Text()
            yield Text("Settings that differ")
            yield named_rows(titles, found.settings, width)
