"""Draws which room imports which, from the imports themselves, as the Mermaid text of docs/architecture.md.

    python docs/imports.py     # draws anew what stands on the page

Needs grimp, which import-linter brings (the extra ``test``).
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from pathlib import Path

import grimp

PAGE = Path(__file__).parent / "architecture.md"
LAYERS = ("lossweep", "dashboards", "search", "trainers", "spaces")
OPENING, CLOSING = "```mermaid\n", "```\n"


def arrows() -> dict[str, set[str]]:
    """The rooms by name, such as ``search.study``, each with those that it imports."""
    graph = grimp.build_graph("lossweep", cache_dir=None)
    found: dict[str, set[str]] = {}
    for module in graph.modules:
        imported = {_room(graph, each) for each in graph.find_modules_directly_imported_by(module)}
        found.setdefault(_room(graph, module), set()).update(imported - {_room(graph, module)})
    return {room: rooms for room, rooms in found.items() if room not in LAYERS or rooms}


def _room(graph: grimp.ImportGraph, module: str) -> str:
    """The folder that a module lies in within its layer, or the module itself where it lies in none."""
    _, *parts = module.split(".")
    if not parts or parts[0] not in LAYERS:  # the layer `lossweep`: its own names and the commands
        return ".".join(["lossweep", *parts[:1]])
    return ".".join(parts[:2])


def layer_of(room: str) -> str:
    """The layer that a room belongs to."""
    return room.partition(".")[0]


def drawing() -> str:
    """Return the drawing: layers from the top down, and in each its rooms, those above first.

    Raises:
        graphlib.CycleError: when rooms import one another in a circle, which no drawing can show as downward.
    """
    below = arrows()
    upwards = list(TopologicalSorter({room: sorted(below[room]) for room in sorted(below)}).static_order())
    lines = ["flowchart TB"]
    for layer in LAYERS:
        lines.append(f"  subgraph {layer}")
        rooms = [room for room in reversed(upwards) if layer_of(room) == layer]
        lines += [f'    {_id(room)}["{room.partition(".")[2] or "the public names"}"]' for room in rooms]
        for room in rooms:
            within = [each for each in rooms if each in below[room]]
            lines += [f"    {_id(room)} --> {_id(each)}" for each in within]
        lines.append("  end")
    between = {(layer_of(room), layer_of(each)) for room, rooms in below.items() for each in rooms}
    pairs = [(layer, other) for layer in LAYERS for other in LAYERS if layer != other]
    lines += [f"  {layer} --> {other}" for layer, other in pairs if (layer, other) in between]
    return "\n".join(lines) + "\n"


def _id(room: str) -> str:
    return room.replace(".", "_") if "." in room else f"{room}_names"


def drawn(page: str) -> str:
    """Return the drawing that stands on a page."""
    return page.partition(OPENING)[2].partition(CLOSING)[0]


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page.replace(drawn(page), drawing()), encoding="utf-8")
