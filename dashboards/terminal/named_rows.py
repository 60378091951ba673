"""A table whose first column names its rows: the names keep their room, all other cells are folded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.table import Table

from lossweep.dashboards.terminal.console import cell

ROOMY: Final = 72
"""Characters from which on two blanks stand between columns, rather than one."""


def named_rows(
    titles: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, figures: bool = False
) -> Table:
    """Return the table.

    Args:
        titles: of the columns.
        rows: of cells, the name first.
        width: characters there are; the names take two fifths of them at most.
        figures: whether the other cells are figures, which lean to the right.
    """
    gap = 2 if width >= ROOMY else 1
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="dim")
    longest = max(cell(row[0]).cell_len for row in (titles, *rows))
    table.add_column(cell(titles[0]), overflow="fold", width=min(longest, 2 * width // 5))
    for title in titles[1:]:
        table.add_column(cell(title), overflow="fold", justify="right" if figures else "left")
    for row in rows:
        table.add_row(*map(cell, row))
    return table
