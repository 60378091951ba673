"""The page about the architecture is true of the folders."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
FLOORS = ("spaces", "trainers", "search", "dashboards", "lossweep")


def rooms() -> list[tuple[str, str]]:
    """Each room named on the page, with its floor."""
    section = PAGE.partition("## Rooms")[2].partition("\n## ")[0]
    found, floor = [], ""
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or cells[0] == "floor" or set(cells[0]) == {"-", " "}:
            continue
        floor = cells[0].strip("`/") or floor
        found += [(floor, name) for name in re.findall(r"`([\w*./]+)`", cells[1])]
    return found


def test_every_room_on_the_page_exists() -> None:
    named = rooms()
    assert {floor for floor, _ in named} == set(FLOORS)
    for floor, name in named:
        assert list((ROOT / floor).glob(name.rstrip("/"))), f"{floor}/{name}"


def test_every_folder_is_on_the_page() -> None:
    named = {f"{floor}/{name.rstrip('/')}" for floor, name in rooms()}
    for floor in FLOORS:
        for folder in (ROOT / floor).iterdir():
            if folder.is_dir() and list(folder.glob("*.*")) and folder.name != "__pycache__":
                assert f"{floor}/{folder.name}" in named, folder
