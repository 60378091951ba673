"""Published color maps: which class a color means in data sets that many people have."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import yaml

Value: TypeAlias = "int | tuple[int, int, int]"
"""What a pixel of a mask holds: a grey value or index, or red, green and blue."""


@dataclass(frozen=True, slots=True)
class ColorTable:
    """A published color map.

    Attributes:
        name: of its data set.
        classes: in its order.
        colors: of each class, in that order.
        ignore: what is left out of training and scores.
    """

    name: str
    classes: tuple[str, ...]
    colors: tuple[Value, ...]
    ignore: tuple[Value, ...]

    @property
    def by_color(self) -> Mapping[Value, str]:
        """The classes by their colors."""
        return dict(zip(self.colors, self.classes, strict=True))


@cache
def tables() -> Mapping[str, ColorTable]:
    """Return the color maps of ``known_colors.yaml`` by name."""
    text = files(__package__).joinpath("known_colors.yaml").read_text(encoding="utf-8")
    data: Mapping[str, Any] = yaml.safe_load(text)
    return {
        name: ColorTable(
            name,
            tuple(table["classes"]),
            tuple(map(_value, table["colors"])),
            tuple(map(_value, table["ignore"])),
        )
        for name, table in data.items()
    }


def table_of(found: Set[Value]) -> ColorTable | None:
    """Return the color map that explains all of these colors; None when none does, or when few are its own.

    Black and white are in everyone's masks: three colors at least have to be the table's.
    """
    plain = {(0, 0, 0), (255, 255, 255)}
    for table in tables().values():
        colors = {color for color in (*table.colors, *table.ignore) if isinstance(color, tuple)}
        if found <= colors and len((found & colors) - plain) >= 3:
            return table
    return None


def _value(color: Any) -> Value:
    return color if isinstance(color, int) else (color[0], color[1], color[2])
