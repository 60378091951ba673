"""A table that fits any width: it gives up whole columns, and never cuts a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions
from rich.text import Text

from lossweep.dashboards.terminal.console import cell

GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column of short cells.

    Attributes:
        title: over it.
        justify: to which side its cells lean.
        extra: 0 for a column that always stays; where room is short, those of the highest number go first.
        style: of its cells.
    """

    title: str
    justify: Literal["left", "right"] = "right"
    extra: int = 0
    style: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    cells: tuple[Text, ...]
    long: Text
    above: Text | None


class FittedTable:
    """Columns of short cells, and at will one long text a row, such as a schedule.

    The long text is the last column where there is room beside all others; elsewhere it stands under its
    row, folded between words, and the columns that are still too many are left out.
    """

    def __init__(self, *columns: Column, long: str = "", least: int = 44) -> None:
        """Begin an empty table.

        Args:
            columns: of short cells, from the left.
            long: title of the long texts.
            least: characters a long text needs to stand beside the columns.
        """
        self._columns, self._long, self._least = columns, long, least
        self._rows: list[_Row] = []

    def add(self, *cells: str | Text, long: str | Text = "", above: Text | None = None) -> None:
        """Add a row: a cell for every column, its long text, and a line of its own above it."""
        texts = tuple(map(cell, cells))
        if len(texts) != len(self._columns):
            raise ValueError(f"{len(texts)} cells for {len(self._columns)} columns")
        self._rows.append(_Row(texts, cell(long), above))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield its lines, for rich."""
        width = options.max_width
        every = range(len(self._columns))
        longest = max((row.long.cell_len for row in self._rows), default=0)
        left = width - self._width(every) - len(GAP)
        beside = longest > 0 and left >= min(self._least, longest)
        kept = every if beside else self._fitting(width)
        if any(self._columns[i].title for i in kept):
            titles = [Text(self._columns[i].title, style="dim") for i in kept]
            yield self._line(kept, titles, Text(self._long if beside else "", style="dim"))
        indent = width - left if beside else self._cell_width(0) + len(GAP)
        for row in self._rows:
            if row.above is not None:
                yield row.above
            cells = [_styled(row.cells[i], self._columns[i].style) for i in kept]
            long = list(row.long.wrap(console, max(20, width - indent), overflow="fold")) if row.long else []
            yield self._line(kept, cells, long.pop(0) if beside and long else Text())
            for line in long:
                line.rstrip()
                yield Text(" " * indent) + line

    def _fitting(self, width: int) -> Sequence[int]:
        kept = list(range(len(self._columns)))
        while self._width(kept) > width and (most := max(self._columns[i].extra for i in kept)) > 0:
            kept = [i for i in kept if self._columns[i].extra < most]
        return kept

    def _width(self, kept: Sequence[int]) -> int:
        return sum(self._cell_width(i) for i in kept) + len(GAP) * (len(kept) - 1)

    def _cell_width(self, index: int) -> int:
        cells = (row.cells[index].cell_len for row in self._rows)
        return max([Text(self._columns[index].title).cell_len, *cells])

    def _line(self, kept: Sequence[int], cells: Sequence[Text], long: Text) -> Text:
        line = Text()
        for i, words in zip(kept, cells, strict=True):
            padding = Text(" " * (self._cell_width(i) - words.cell_len))
            line += (padding + words if self._columns[i].justify == "right" else words + padding) + Text(GAP)
        line += long
        line.rstrip()
        return line


def _styled(words: Text, style: str) -> Text:
    if not style:
        return words
    styled = words.copy()
    styled.stylize_before(style)
    return styled
