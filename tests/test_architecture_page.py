"""The page about the architecture is true of the folders."""

from __future__ import annotations

import re
from pathlib import Path

from tests.documented import script

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
LAYERS = ("spaces", "trainers", "search", "dashboards", "lossweep")


def rooms() -> list[tuple[str, str]]:
    """Each room named on the page, with its layer."""
    section = PAGE.partition("## Rooms")[2].partition("\n## ")[0]
    found, layer = [], ""
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or cells[0] == "layer" or set(cells[0]) == {"-", " "}:
            continue
        layer = cells[0].strip("`/") or layer
        found += [(layer, name) for name in re.findall(r"`([\w*./]+)`", cells[1])]
    return found


def test_every_room_on_the_page_exists() -> None:
    named = rooms()
    assert {layer for layer, _ in named} == set(LAYERS)
    for layer, name in named:
        assert list((ROOT / layer).glob(name.rstrip("/"))), f"{layer}/{name}"


def test_every_folder_is_on_the_page() -> None:
    named = {f"{layer}/{name.rstrip('/')}" for layer, name in rooms()}
    for layer in LAYERS:
        for folder in (ROOT / layer).iterdir():
            if (
                folder.is_dir()
                and not folder.is_symlink()
                and list(folder.glob("*.*"))
                and folder.name != "__pycache__"
            ):
                assert f"{layer}/{folder.name}" in named, folder


def test_the_drawing_of_the_imports_is_current() -> None:
    imports = script("imports")
    assert imports.drawn(PAGE) == imports.drawing(), "run python docs/imports.py"


def test_no_arrow_points_upward() -> None:
    """What is drawn further up stands further up in the text: layers, and the rooms of each."""
    drawing = script("imports").drawn(PAGE)
    places = re.findall(r"^ *(?:subgraph )?(\w+)(?:\[.*\])?$", drawing, re.MULTILINE)
    arrows = re.findall(r"^ *(\w+) --> (\w+)$", drawing, re.MULTILINE)
    assert len(arrows) > 60
    assert [arrow for arrow in arrows if places.index(arrow[0]) >= places.index(arrow[1])] == []
    assert [place for place in places if place in LAYERS] == list(reversed(LAYERS))


def test_folders_import_only_those_named_before_them() -> None:
    folders = [f"{layer}.{name.rstrip('/')}" for layer, name in rooms() if name.endswith("/")]
    assert len(folders) > 20
    for room, imported in script("imports").arrows().items():
        if room in folders:
            later = folders[folders.index(room) + 1 :]
            assert imported.isdisjoint(later), f"{room} imports {sorted(imported & set(later))}"
