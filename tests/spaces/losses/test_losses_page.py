"""The page about losses is current: its table is the catalog's."""

from __future__ import annotations

import re
from pathlib import Path

from lossweep.spaces.losses.catalog import catalog, table

PAGE = (Path(__file__).parents[3] / "docs" / "losses.md").read_text(encoding="utf-8")


def test_the_table_is_the_catalog() -> None:
    shown = re.search(r"<!-- table -->\n\n(.*?)\n\n<!-- /table -->", PAGE, re.DOTALL)
    assert shown is not None
    print_it = "python -c 'from lossweep.spaces.losses.catalog import table; print(table())'"
    assert shown.group(1) == table(), f"docs/losses.md: put in what this prints: {print_it}"


def test_no_cell_of_it_is_torn() -> None:
    lines = table().splitlines()
    assert len(lines) == len(catalog()) + 2
    assert {line.count("|") for line in lines} == {4}
