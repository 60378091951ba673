"""What the values of masks mean: classes, their colors, and what is ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.recognising.known import ColorTable, Value, table_of, tables
from lossweep.trainers.data.recognising.values import MOST_VALUES, MaskValues

_BLACK: Final = (0, 0, 0)
_WHITE: Final = (255, 255, 255)
_MOST_CLASSES: Final = 64
_BORDER: Final = 0.1
"""Black that covers less than this share of the pixels is rather void than ground."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How masks are to be read.

    Attributes:
        classes: background first.
        colors: of the classes, under ``colors`` of a sweep file; None: masks hold class indices.
        values: what each class is in the files, in the order of ``classes``.
        remarks: what was assumed, each with what to type when it is wrong.
    """

    classes: tuple[str, ...]
    colors: Mapping[str, Any] | None
    values: tuple[tuple[Value, ...], ...]
    remarks: tuple[str, ...] = ()


def coding_of(
    found: MaskValues,
    names: Sequence[str] = (),
    ignored: Sequence[Value] | None = None,
    table: str | None = None,
) -> Coding:
    """Propose what the values of masks mean.

    Args:
        found: in the masks.
        names: the classes, as a person gave them: background first, in the order of the values.
        ignored: values or colors that mean nothing, as a person gave them; None to guess.
        table: the published color map that the layout comes with.

    Raises:
        UserError: they can't be masks, or the names don't fit them.
    """
    _check(found)
    values = sorted(found.pixels)
    if found.palette and not found.colored:
        return _indexed(
            found, names, ignored, tables()[table] if table else table_of(set(found.palette.values()))
        )
    if table is not None and (coding := _by_table(found, tables()[table], ignored)):
        return _renamed(coding, names, found)
    if found.colored:
        known = table_of(set(values) - set(ignored or ()))
        coding = _by_table(found, known, ignored) if known else None
        return _renamed(coding, names, found) if coding else _colored(found, names, ignored)
    return _grey(found, names, ignored)


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
    coding = _grey(found, names or (table.classes if table else ()), ignored, given=bool(names))
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
        colors["ignore"] = _several(void)
    return Coding(coding.classes, colors, coding.values, ("masks are palette files", *coding.remarks))


def _by_table(found: MaskValues, table: ColorTable, ignored: Sequence[Value] | None) -> Coding | None:
    """The classes of a published color map that occur; None when it doesn't explain all values."""
    by_color = table.by_color
    if all(isinstance(color, tuple) for color in table.colors) and not found.colored:
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
    colors: dict[str, Any] = {by_color[color]: _plain(color) for color in shown}
    if unused:
        colors["ignore"] = _several(unused)
    remark = f"classes and colors are those of {table.name}" + (
        f"; {_told(unused)} is ignored, as its publishers do" if unused else ""
    )
    return Coding(classes, colors, tuple((color,) for color in shown), (remark,))


def _renamed(coding: Coding, names: Sequence[str], found: MaskValues) -> Coding:
    if not names:
        return coding
    _check_names(names, coding.values, found)
    renamed = dict(zip(coding.classes, names, strict=True))
    colors = coding.colors and {renamed.get(name, name): color for name, color in coding.colors.items()}
    return Coding(tuple(names), colors, coding.values, coding.remarks)


def _colored(found: MaskValues, names: Sequence[str], ignored: Sequence[Value] | None) -> Coding:
    """Colors that nobody published: black, or what is commonest, is the background."""
    values = [value for value in sorted(found.pixels) if value not in (ignored or ())]
    if all(isinstance(value, tuple) and len(set(value)) == 1 for value in found.pixels):
        return _valued(values, found, names, ignored, _BLACK)  # grey, saved as three bands
    _check_count(values, found)
    return _valued(values, found, names, ignored, _BLACK)


def _grey(
    found: MaskValues, names: Sequence[str], ignored: Sequence[Value] | None, given: bool | None = None
) -> Coding:
    """Numbers: indices where they follow one another, else values with a color map."""
    given = bool(names) if given is None else given
    values = [value for value in sorted(found.pixels) if value not in (ignored or ())]
    numbers = [value for value in values if isinstance(value, int)]
    indices = [value for value in numbers if value != IGNORE_INDEX]
    named = len(names) if names else 0
    most = max(named, max(indices, default=0) + 1)
    binary = len(numbers) == 2 and numbers[0] == 0 and numbers[1] != 1
    follow = indices and indices[0] >= 0 and len(indices) >= 2 and most <= max(named, len(indices) + 8)
    gaps = not given and len(indices) < most
    if binary or not follow or most > _MOST_CLASSES or set(ignored or ()) - {IGNORE_INDEX} or gaps:
        _check_count(values, found)
        return _by_value(values, found, names, ignored, given)
    if given and named < max(indices) + 1:
        _check_names(names, tuple((i,) for i in range(max(indices) + 1)), found)
    shown = range(max(named, max(indices) + 1))
    classes = tuple(names) if names else _numbered(len(shown))
    remarks = list[str]()
    if IGNORE_INDEX in numbers:
        remarks.append(
            f"value {IGNORE_INDEX} ({found.share(IGNORE_INDEX):.2%} of the pixels) is taken as unlabelled,"
            " and ignored"
        )
    if missing := [i for i in shown if i not in indices]:
        remarks.append(f"no mask shows class {', '.join(f'{i} ({classes[i]})' for i in missing)}")
    return Coding(classes, None, tuple((i,) for i in shown), tuple(remarks))


def _by_value(
    values: Sequence[Value],
    found: MaskValues,
    names: Sequence[str],
    ignored: Sequence[Value] | None,
    given: bool,
) -> Coding:
    """Numbers that don't follow one another; 255 beside several is ignored."""
    void, remarks = ignored, list[str]()
    others = [value for value in values if isinstance(value, int) and value != IGNORE_INDEX]
    if ignored is None and len(values) > len(others) > 1 and others[-1] <= _MOST_CLASSES:
        values, void = others, (IGNORE_INDEX,)
        remarks.append(
            f"value {IGNORE_INDEX} is taken as unlabelled, and ignored; if it is a class: --ignore none"
        )
    coding = _valued(values, found, names if given else (), void, 0)
    coding = replace(coding, remarks=(*remarks, *coding.remarks))
    known = [names[value] for (value,) in coding.values if isinstance(value, int) and value < len(names)]
    if given or len(known) < len(coding.values):
        return coding
    renamed = dict(zip(coding.classes, known, strict=True))
    colors = {renamed.get(name, name): color for name, color in (coding.colors or {}).items()}
    return Coding(tuple(known), colors, coding.values, coding.remarks)


def _valued(
    values: Sequence[Value],
    found: MaskValues,
    names: Sequence[str],
    ignored: Sequence[Value] | None,
    black: Value,
) -> Coding:
    """A color map: a name for each value, background first."""
    if len(values) < 2:
        raise UserError(
            Problem(
                "masks hold one value only, so that there is nothing to tell apart",
                found=", ".join(map(_shown, values)) or "none",
                hint="say which files are masks: --masks PATTERN",
            )
        )
    void, remarks = list(ignored or ()), list[str]()
    if ignored is None and black in values and len(values) > 4 and found.share(black) < _BORDER:
        void = [black]
        remarks.append(
            f"{_shown(black)} ({found.share(black):.1%} of the pixels) is taken as unlabelled and ignored; if"
            " it is the background: --ignore none"
        )
    classed = [value for value in values if value not in void]
    ground = black if black in classed else max(classed, key=lambda value: found.pixels[value])
    if ground != black and len(classed) > 1:
        remarks.append(f"no class is black: the commonest, {_shown(ground)}, is the first")
    ordered = [ground, *(value for value in classed if value != ground)]
    if names:
        _check_names(names, tuple((value,) for value in ordered), found)
    classes = tuple(names) or _numbered(len(ordered), "background" if ground == black else "class_0")
    colors: dict[str, Any] = {
        name: _plain(value)
        for name, value in zip(classes, ordered, strict=True)
        if value not in (0, _BLACK) or value != ordered[0]
    }
    if present := [value for value in void if value in found.pixels]:
        colors["ignore"] = _several(present)
    if len(ordered) == 2 and ground == black:
        remarks.insert(0, f"masks are black and white: {_shown(ordered[1])} is the foreground")
    return Coding(classes, colors, tuple((value,) for value in ordered), tuple(remarks))


def _numbered(count: int, ground: str = "background") -> tuple[str, ...]:
    if count == 2:
        return ("background", "foreground")
    return (ground, *(f"class_{index}" for index in range(1, count)))


def _check_names(names: Sequence[str], values: Sequence[tuple[Value, ...]], found: MaskValues) -> None:
    if len(names) == len(values):
        return
    told = ", ".join(f"{_shown(each[0])} ({found.share(each[0]):.2%})" for each in values)
    raise UserError(
        Problem(
            "there have to be as many names as the masks have classes",
            key="--classes",
            found=f"{len(names)} names",
            allowed=f"{len(values)}, for {told}; --ignore takes one out",
        )
    )


def _check_count(values: Sequence[Value], found: MaskValues) -> None:
    if len(values) > _MOST_CLASSES:
        raise UserError(
            Problem(
                "masks hold too many values for classes: they may number objects, or be smeared",
                found=f"{len(values)}, such as {', '.join(map(_shown, values[:4]))}",
                allowed=f"at most {_MOST_CLASSES}",
                hint="save masks whose pixels hold their class" + (", as PNG" if found.lossy else ""),
            )
        )


def _plain(value: Value) -> Any:
    return value if isinstance(value, int) else list(value)


def _several(values: Sequence[Value]) -> Any:
    if len(values) == 1:
        return _plain(values[0])
    return [list(value) if isinstance(value, tuple) else [value] * 3 for value in values]


def _key(value: Value) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else value


def _shown(value: Value) -> str:
    if value in (_BLACK, 0):
        return "black (0)"
    if value in (_WHITE, 255):
        return "white (255)"
    return f"value {value}" if isinstance(value, int) else f"color {','.join(map(str, value))}"


def _told(values: Sequence[Value]) -> str:
    return " and ".join(
        filter(None, [", ".join(map(_shown, values[:3])), f"{len(values) - 3} more" * (len(values) > 3)])
    )
