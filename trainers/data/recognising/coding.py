"""What the values of masks mean: classes, their colors, and what is ignored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.recognising.by_value import (
    BLACK,
    Coding,
    check_count,
    check_names,
    numbers,
    plain,
    several,
    shown_as,
    valued,
)
from lossweep.trainers.data.recognising.known import ColorTable, Value, table_of, tables
from lossweep.trainers.data.recognising.values import MOST_VALUES, MaskValues


def coding_of(
    found: MaskValues,
    names: Sequence[str] = (),
    ignored: Sequence[Value] | None = None,
    table: ColorTable | None = None,
) -> Coding:
    """Propose what the values of masks mean.

    Args:
        found: in the masks.
        names: the classes, as a person gave them: background first, in the order of the values.
        ignored: values or colors that mean nothing, as a person gave them; None to guess.
        table: the color map that the layout comes with, or that lies beside the images.

    Raises:
        UserError: they can't be masks, or the names don't fit them.
    """
    _check(found)
    values = sorted(found.pixels)
    if found.palette and not found.colored:
        return _indexed(found, names, ignored, table or table_of(set(found.palette.values())))
    if table is not None and (coding := _by_table(found, table, ignored)):
        return _renamed(coding, names, found)
    if found.colored:
        known = table_of(set(values) - set(ignored or ()))
        coding = _by_table(found, known, ignored) if known else None
        return _renamed(coding, names, found) if coding else _colored(found, names, ignored)
    return numbers(found, names, ignored)


def _check(found: MaskValues) -> None:
    if found.too_many is not None:
        smeared = (
            "JPEG smears values: save masks as PNG"
            if found.lossy
            else "say which files are masks: --masks PATTERN"
        )
        raise UserError(
            Problem(
                f"a mask has more than {MOST_VALUES} values, as a photograph has",
                file=str(found.too_many),
                hint=smeared,
            )
        )
    if found.damaged is not None and not found.pixels:
        raise found.damaged
    if found.lossy is not None and len(found.pixels) > 2:
        raise UserError(
            Problem(
                "masks are JPEGs, whose values are smeared",
                file=str(found.lossy),
                found=f"{len(found.pixels)} values",
                hint="save them as PNG from the program that drew them, or threshold them",
            )
        )


def _indexed(
    found: MaskValues, names: Sequence[str], ignored: Sequence[Value] | None, table: ColorTable | None
) -> Coding:
    """A palette file: its indices are the classes, named by the published table if there is one."""
    in_order = table is not None and all(
        table.colors[index : index + 1] == (color,)
        for index, color in found.palette.items()
        if index < len(table.colors)
    )
    known = table.classes if table is not None and in_order else ()
    coding = numbers(found, names or known, ignored, given=bool(names))
    if coding.colors is None:
        note = "masks are palette files: their indices are the classes"
        return Coding(coding.classes, None, coding.values, (note, *coding.remarks))
    shown = {value: found.palette[value] for value in found.pixels if isinstance(value, int)}
    if len(set(shown.values())) < len(shown):
        message = "masks are palette files, two of whose indices have one color: name every index"
        raise UserError(Problem(message, hint="--classes background,..."))
    classed = {value for each in coding.values for value in each if isinstance(value, int)}
    colors: dict[str, Any] = {
        name: list(shown[value])
        for name, (value,) in zip(coding.classes, coding.values, strict=True)
        if isinstance(value, int)
    }
    if void := sorted(color for value, color in shown.items() if value not in classed):
        colors["ignore"] = several(void)
    return Coding(coding.classes, colors, coding.values, ("masks are palette files", *coding.remarks))


def _by_table(found: MaskValues, table: ColorTable, ignored: Sequence[Value] | None) -> Coding | None:
    """The classes of a published color map that occur; None when it doesn't explain all values."""
    by_color = table.by_color
    if all(isinstance(color, tuple) for color in table.colors) and not found.colored:
        if table.name not in tables():  # whose order need not be that of the indices
            return None
        indices = set(found.pixels) - {IGNORE_INDEX}
        if not all(isinstance(i, int) and i < len(table.classes) for i in indices):
            return None
        classes = table.classes
        remark = f"class names are those of {table.name}"
        return Coding(classes, None, tuple((i,) for i in range(len(classes))), (remark,))
    void = {*table.ignore, *(ignored or ())}
    if not set(found.pixels) <= {*by_color, *void}:
        return None
    shown = [color for color in table.colors if color in found.pixels and color not in void]
    if len(shown) < 2:
        return None
    unused = sorted(void & set(found.pixels), key=_key)
    classes = tuple(by_color[color] for color in shown)
    colors: dict[str, Any] = {by_color[color]: plain(color) for color in shown}
    if unused:
        colors["ignore"] = several(unused)
    remark = f"classes and colors are those of {table.name}" + (
        f"; {_told(unused)} is ignored, as its publishers do" if unused else ""
    )
    return Coding(classes, colors, tuple((color,) for color in shown), (remark,))


def _renamed(coding: Coding, names: Sequence[str], found: MaskValues) -> Coding:
    if not names:
        return coding
    check_names(names, coding.values, found)
    renamed = dict(zip(coding.classes, names, strict=True))
    colors = coding.colors and {renamed.get(name, name): color for name, color in coding.colors.items()}
    return Coding(tuple(names), colors, coding.values, coding.remarks)


def _colored(found: MaskValues, names: Sequence[str], ignored: Sequence[Value] | None) -> Coding:
    """Colors that nobody published: black, or what is commonest, is the background."""
    values = [value for value in sorted(found.pixels) if value not in (ignored or ())]
    if all(isinstance(value, tuple) and len(set(value)) == 1 for value in found.pixels):
        return valued(values, found, names, ignored, BLACK)  # grey, saved as three bands
    check_count(values, found)
    return valued(values, found, names, ignored, BLACK)


def _key(value: Value) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else value


def _told(values: Sequence[Value]) -> str:
    return " and ".join(
        filter(None, [", ".join(map(shown_as, values[:3])), f"{len(values) - 3} more" * (len(values) > 3)])
    )
