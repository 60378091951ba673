"""docs/reports.md and the tests beside this one say the same: every row has a test, and every test a row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(
    r"^\| \[(?P<repository>[\w.\-]+/[\w.\-]+)#(?P<number>\d+)\]\((?P<address>\S+)\)"
    r" \| (?P<happened>[^|]+) \| (?P<does>[^|]+) \| `(?P<test>test_\w+)` \|$"
)


def rows() -> list[tuple[str, dict[str, str]]]:
    """Each row of the tables, with the file that its section names."""
    found, file = [], ""
    for line in (ROOT / "docs" / "reports.md").read_text().splitlines():
        if named := re.fullmatch(r"`tests/reports/(test_\w+\.py)`", line):
            file = named[1]
        elif line.startswith("| ["):
            row = ROW.match(line)
            assert row, line
            found.append((file, row.groupdict()))
    return found


def tried() -> list[tuple[str, str]]:
    """Each test of this folder but those of this file."""
    files = sorted(set(Path(__file__).parent.glob("test_*.py")) - {Path(__file__)})
    return [
        (file.name, node.name)
        for file in files
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_every_row_has_a_test_and_every_test_a_row() -> None:
    assert sorted((file, row["test"]) for file, row in rows()) == sorted(tried())


def test_there_are_thirty_kinds_or_more_and_none_is_told_twice() -> None:
    reports = [(row["repository"], row["number"]) for _, row in rows()]
    assert len(reports) == len(set(reports)) >= 30
    counted = re.search(r"in the same place: (\d+) kinds", (ROOT / "docs" / "reports.md").read_text())
    assert counted
    assert int(counted[1]) == len(reports)


def test_addresses_are_those_of_the_reports() -> None:
    for _, row in rows():
        kinds = [
            f"https://github.com/{row['repository']}/{kind}/{row['number']}" for kind in ("issues", "pull")
        ]
        assert row["address"] in kinds
