"""A table gives up columns where there is little room, and never a figure."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from lossweep.dashboards.terminal.fitted_table import Column, FittedTable


def lines(table: FittedTable, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return] # a StringIO


def sample() -> FittedTable:
    table = FittedTable(
        Column("name", justify="left"),
        Column("score"),
        Column("cost", extra=1),
        Column("size", extra=2),
        long="note",
    )
    table.add("a", "0.123", "12.50", "7", long="one two three four five six seven eight nine ten eleven")
    table.add("bcd", "0.4", "1", "1000", long="short")
    return table


def test_with_room_the_long_text_is_the_last_column() -> None:
    assert lines(sample(), 100) == [
        "name  score   cost  size  note",
        "a     0.123  12.50     7  one two three four five six seven eight nine ten eleven",
        "bcd     0.4      1  1000  short",
    ]


def test_the_long_text_is_folded_in_its_column() -> None:
    assert lines(sample(), 72)[1:3] == [
        "a     0.123  12.50     7  one two three four five six seven eight nine",
        "                          ten eleven",
    ]


def test_with_less_room_the_long_text_stands_below_and_with_still_less_columns_go() -> None:
    assert lines(sample(), 30) == [
        "name  score   cost  size",
        "a     0.123  12.50     7",
        "      one two three four five",
        "      six seven eight nine ten",
        "      eleven",
        "bcd     0.4      1  1000",
        "      short",
    ]
    assert lines(sample(), 23)[0] == "name  score   cost"
    assert lines(sample(), 12)[0] == "name  score"


def test_a_line_above_a_row_and_no_header_without_titles() -> None:
    table = FittedTable(Column(""), Column(""))
    table.add("1", "2", above=Text("part one"))
    assert lines(table, 40) == ["part one", "1  2"]


def test_a_row_has_a_cell_for_every_column() -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        FittedTable(Column("a"), Column("b")).add("1")


@given(
    st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(0, 1), st.text("ab (.", max_size=90)), max_size=5),
    st.integers(26, 160),
)
def test_figures_that_stay_are_whole_and_no_line_is_too_long(
    rows: list[tuple[float, float, str]], width: int
) -> None:
    table = FittedTable(Column("trial"), Column("x", extra=2), Column("y", extra=1), long="schedule")
    for i, (x, y, words) in enumerate(rows):
        table.add(f"#{i}", f"{x:.3f}", f"{y:.3f}", long=words)
    page = lines(table, width)
    assert all(len(line) <= width for line in page)
    for i, (x, y, _) in enumerate(rows):
        row = next(line for line in page if f"#{i}" in line).split()
        assert row[:3] == [f"#{i}", f"{x:.3f}", f"{y:.3f}"]
