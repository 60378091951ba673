"""Lists of classes and their colors that lie beside images: ``class_dict.csv``, ``label_colors.txt``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lossweep.trainers.data.recognising.known import ColorTable, Value
from lossweep.trainers.data.recognising.tree import Tree, words_of

_WORDS: Final = frozenset(
    {"class", "classes", "label", "labels", "labelmap", "colors", "colours", "colormap", "dict", "codes"}
)
_LARGEST: Final = 1 << 16
_LINE: Final = re.compile(
    r"""\s*(?P<before>[^\d#\s][^,;:\t]*?)?[\s,;:]*
        (?P<red>\d{1,3})[\s,;:]+(?P<green>\d{1,3})[\s,;:]+(?P<blue>\d{1,3})
        [\s,;:]*(?P<behind>[^\d\s,;:].*?)?[\s,;:]*""",
    re.VERBOSE,
)
"""A name and three numbers, in either order, between commas, colons or blanks."""
_VOID: Final = frozenset(["void", "unlabelled", "unlabeled", "ignore", "ignored", "unknown", "undefined"])


def table_beside(tree: Tree) -> ColorTable | None:
    """Return the color map of a list that lies in the folder; None when there is none that can be read."""
    for file in tree.ending(".csv", ".txt"):
        path = tree.root / file
        if words_of(path.stem.replace("_", " ")) & _WORDS and path.stat().st_size <= _LARGEST:
            colors = dict(_colors(path))
            if len(colors) >= 2 and len(set(colors.values())) == len(colors):
                return _table(file, colors)
    return None


def _colors(path: Path) -> Iterator[tuple[Value, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        match = _LINE.fullmatch(line)
        name = match and (match["before"] or match["behind"])
        if match and name:
            color = int(match["red"]), int(match["green"]), int(match["blue"])
            if max(color) <= 255:
                yield color, name.strip()


def _table(file: str, colors: dict[Value, str]) -> ColorTable:
    """The background first, or what is black; what is called void is ignored."""
    void = [color for color, name in colors.items() if words_of(name) & _VOID]
    classed = [color for color in colors if color not in void]
    classed.sort(key=lambda color: (colors[color].lower() != "background", color != (0, 0, 0)))
    return ColorTable(file, tuple(colors[color] for color in classed), tuple(classed), tuple(void))
