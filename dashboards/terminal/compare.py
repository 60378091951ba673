"""Two sweeps side by side, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossweep.dashboards.comparison.two_sweeps import Comparison


def comparison_table(comparison: Comparison) -> RenderableType:
    """Return the verdict, each reason to distrust it, the two sweeps and the settings that differ."""
    parts: list[RenderableType] = [Text(comparison.verdict, style="bold")]
    parts += [Text(f"Beware: {warning}", style="yellow") for warning in comparison.warnings]
    parts += [Text(), _table(comparison.names, comparison.rows)]
    if comparison.settings:
        parts += [Text(), Text("Settings that differ"), _table(comparison.names, comparison.settings)]
    return Group(*parts)


def _table(names: tuple[str, str], rows: Iterable[tuple[str, str, str]]) -> Table:
    """Long cells are folded: first those of the two sweeps, whose columns share the room."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(style="dim", overflow="fold", max_width=32)
    for name in names:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
