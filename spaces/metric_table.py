"""The tables of docs/metrics.md from the records; ``python -m lossweep.spaces.metric_table`` writes them."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Final

from lossweep.spaces.metrics import FAMILIES, METRICS, Group

_TABLES: Final = ("pixels", "objects")
_PIXELS: Final[tuple[Group, ...]] = ("pixel", "tuned", "curve")


def table(which: str) -> str:
    """Return one of the page's tables in Markdown, a row for each definition.

    Args:
        which: ``pixels`` or ``objects``.
    """
    every = (*METRICS, *FAMILIES)
    if which == "objects":
        rows = sorted((each for each in every if each.of_objects), key=lambda each: each.point != "fixed")
    else:
        rows = [each for group in _PIXELS for each in every if each.group == group]
    lines = ["| name | definition |", "| --- | --- |"]
    for definition, alike in groupby(rows, lambda each: each.definition):
        metrics = list(alike)
        low = "; lower is better" if all(each.direction == "minimize" for each in metrics) else ""
        lines.append(f"| {', '.join(f'`{each.spelling}`' for each in metrics)} | {definition}{low} |")
    return "\n".join(lines)


def updated(page: str) -> str:
    """Return the page with its tables as the records have them, each between its two markers."""
    for which in _TABLES:
        begin, end = f"<!-- metrics: {which} -->", "<!-- end -->"
        before, marker, rest = page.partition(begin)
        if not marker or end not in rest:
            raise ValueError(f"the page has no table between {begin} and {end}")
        page = f"{before}{begin}\n\n{table(which)}\n\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(updated(file.read_text(encoding="utf-8")), encoding="utf-8")
