"""How a user says what values and colors in masks mean: by ``colors``, or in the function that makes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from lossweep.trainers.data.source_spec import Color, FilesSpec, SourceSpec

_NO_NAMES = ("yes", "no", "on", "off", "y", "n", "true", "false", "null")
_MOST_CLASSES = 64
"""Values up to this are taken for indices of classes that have no name."""
_SMEARED = 64
"""A mask with more colors than this was hardly drawn in them: JPEG made them."""


def for_colors(spec: SourceSpec, found: Mapping[tuple[int, ...], int]) -> str:
    """What to do about colors that no key explains.

    Args:
        spec: the source that the masks belong to.
        found: red, green and blue of each color that occurs, and how many pixels have it.
    """
    if not isinstance(spec, FilesSpec):
        return f"let {spec_function(spec)} return one class index a pixel"
    if len(found) > _SMEARED:
        return "JPEG masks smear colors: save masks as PNG"
    by_pixels = sorted(found, key=lambda color: -found[color])
    dark = (0, 0, 0)
    background = dark if dark in found else by_pixels[0]
    others = [color for color in by_pixels if color != background]
    classes = spec.classes if background != dark else spec.classes[1:]
    colors = others if background == dark else [background, *others]
    if len(others) == len(spec.classes) - 1:
        order = "" if len(others) == 1 else ", in whichever order is right"
        return f"say in the sweep file which color is which class: `{table(classes, colors)}`{order}"
    return "say in the sweep file, under `colors`, which color is which class or `ignore`"


def for_values(
    spec: SourceSpec, unknown: Sequence[float], known: Sequence[int], step: int = 1, lossy: bool = False
) -> str | None:
    """What to do about values that are no class; None when nothing can be told.

    Args:
        spec: the source that the mask belongs to.
        unknown: the values.
        known: class indices, and 255 for the ignored value, that occur beside them.
        step: how many of 255 levels one of the file's own is.
        lossy: whether the file's compression changed values.
    """
    if lossy:
        return "JPEG smears values: save masks as PNG"
    if not isinstance(spec, FilesSpec):
        function = spec_function(spec)
        return f"let {function} return class indices, 0 for {spec.classes[0]}, and 255 for what is ignored"
    foreground = any(0 < value < len(spec.classes) for value in known)
    if foreground or len(unknown) != len(spec.classes) - 1 or not all(0 <= v <= 65535 for v in unknown):
        few = all(0 <= value <= _MOST_CLASSES for value in unknown)
        more = f"if they are classes, `classes` needs a name for each index from 0 to {max(unknown):g}"
        return more if few else None
    names, levels = list(spec.classes[1:]), [int(value) * step for value in sorted(unknown)]
    if 255 in known and spec.ignore_index is not None:
        names, levels = [*names, "ignore"], [*levels, spec.ignore_index * step]
    what = f"{unknown[0]:g} means {names[0]}" if len(unknown) == 1 else "these are the classes in this order"
    return f"if {what}, say `{table(names, levels)}`"


def for_ignored(spec: SourceSpec, missing: str) -> str:
    """What to do when a class has no pixel, but the ignored value has."""
    if not isinstance(spec, FilesSpec):
        index = spec.classes.index(missing)
        return f"if that is {missing}, let {spec_function(spec)} return {index} for it"
    if spec.colors is not None or spec.ignore_index is None:
        return f"if that is {missing}, give it {missing}'s color under `colors`"
    if len(spec.classes) == 2:
        return f"if that is {missing}, say `{table([missing], [spec.ignore_index])}`"
    return f"if that is {missing}, say which value is which class under `colors`"


def spec_function(spec: SourceSpec) -> str:
    """What a user's own data come from, as the sweep file has it."""
    return f"`function` ({function})" if (function := getattr(spec, "function", "")) else "the source"


def table(names: Sequence[str], colors: Sequence[Color | tuple[int, ...]]) -> str:
    """What to write under ``colors``."""
    entries = (
        f"{_yaml(name)}: {color if isinstance(color, int) else list(color)}"
        for name, color in zip(names, colors, strict=True)
    )
    return f"colors: {{{', '.join(entries)}}}"


def _yaml(name: str) -> str:
    """A class's name as a key in YAML, quoted where it would be read as something else."""
    plain = re.fullmatch(r"[A-Za-z_][\w-]*", name) and name.lower() not in _NO_NAMES
    return name if plain else json.dumps(name)
