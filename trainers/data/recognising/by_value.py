"""What values of masks mean that no published color map explains: indices, or a color for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.recognising.known import Value
from lossweep.trainers.data.recognising.values import MaskValues

BLACK: Final = (0, 0, 0)
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


def numbers(
    found: MaskValues, names: Sequence[str], ignored: Sequence[Value] | None, given: bool | None = None
) -> Coding:
    """Numbers: indices where they follow one another, else values with a color map."""
    given = bool(names) if given is None else given
    values = [value for value in sorted(found.pixels) if value not in (ignored or ())]
    whole = [value for value in values if isinstance(value, int)]
    indices = [value for value in whole if value != IGNORE_INDEX]
    named = len(names) if names else 0
    most = max(named, max(indices, default=0) + 1)
    binary = len(whole) == 2 and whole[0] == 0 and whole[1] != 1
    follow = indices and indices[0] >= 0 and len(indices) >= 2 and most <= max(named, len(indices) + 8)
    gaps = not given and len(indices) < most
    if binary or not follow or most > _MOST_CLASSES or set(ignored or ()) - {IGNORE_INDEX} or gaps:
        check_count(values, found)
        return _by_value(values, found, names, ignored, given)
    if given and named < max(indices) + 1:
        check_names(names, tuple((i,) for i in range(max(indices) + 1)), found)
    shown = range(max(named, max(indices) + 1))
    classes = tuple(names) if names else _numbered(len(shown))
    remarks = list[str]()
    if IGNORE_INDEX in whole:
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
    coding = valued(values, found, names if given else (), void, 0)
    coding = replace(coding, remarks=(*remarks, *coding.remarks))
    known = [names[value] for (value,) in coding.values if isinstance(value, int) and value < len(names)]
    if given or len(known) < len(coding.values):
        return coding
    renamed = dict(zip(coding.classes, known, strict=True))
    colors = {renamed.get(name, name): color for name, color in (coding.colors or {}).items()}
    return Coding(tuple(known), colors, coding.values, coding.remarks)


def valued(
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
                found=", ".join(map(shown_as, values)) or "none",
                hint="say which files are masks: --masks PATTERN",
            )
        )
    void, remarks = list(ignored or ()), list[str]()
    if ignored is None and black in values and len(values) > 4 and found.share(black) < _BORDER:
        void = [black]
        remarks.append(
            f"{shown_as(black)} ({found.share(black):.1%} of the pixels) is taken as unlabelled and ignored;"
            " if it is the background: --ignore none"
        )
    classed = [value for value in values if value not in void]
    ground = black if black in classed else max(classed, key=lambda value: found.pixels[value])
    if ground != black and len(classed) > 1:
        remarks.append(f"no class is black: the commonest, {shown_as(ground)}, is the first")
    ordered = [ground, *(value for value in classed if value != ground)]
    if names:
        check_names(names, tuple((value,) for value in ordered), found)
    classes = tuple(names) or _numbered(len(ordered), "background" if ground == black else "class_0")
    colors: dict[str, Any] = {
        name: plain(value)
        for name, value in zip(classes, ordered, strict=True)
        if value not in (0, BLACK) or value != ordered[0]
    }
    if present := [value for value in void if value in found.pixels]:
        colors["ignore"] = several(present)
    if len(ordered) == 2 and ground == black:
        remarks.insert(0, f"masks are black and white: {shown_as(ordered[1])} is the foreground")
    return Coding(classes, colors, tuple((value,) for value in ordered), tuple(remarks))


def _numbered(count: int, ground: str = "background") -> tuple[str, ...]:
    if count == 2:
        return ("background", "foreground")
    return (ground, *(f"class_{index}" for index in range(1, count)))


def check_names(names: Sequence[str], values: Sequence[tuple[Value, ...]], found: MaskValues) -> None:
    """Check that there is a name for each class.

    Raises:
        UserError: there is not.
    """
    if len(names) == len(values):
        return
    told = ", ".join(f"{shown_as(each[0])} ({found.share(each[0]):.2%})" for each in values)
    raise UserError(
        Problem(
            "there have to be as many names as the masks have classes",
            key="--classes",
            found=f"{len(names)} names",
            allowed=f"{len(values)}, for {told}; --ignore takes one out",
        )
    )


def check_count(values: Sequence[Value], found: MaskValues) -> None:
    """Check that values are few enough to be classes.

    Raises:
        UserError: they are not.
    """
    if len(values) > _MOST_CLASSES:
        raise UserError(
            Problem(
                "masks hold too many values for classes: they may number objects, or be smeared",
                found=f"{len(values)}, such as {', '.join(map(shown_as, values[:4]))}",
                allowed=f"at most {_MOST_CLASSES}",
                hint="save masks whose pixels hold their class" + (", as PNG" if found.lossy else ""),
            )
        )


def plain(value: Value) -> Any:
    """Return a value as a sweep file holds it."""
    return value if isinstance(value, int) else list(value)


def several(values: Sequence[Value]) -> Any:
    """Return the values of one class as a sweep file holds them."""
    if len(values) == 1:
        return plain(values[0])
    return [list(value) if isinstance(value, tuple) else [value] * 3 for value in values]


def shown_as(value: Value) -> str:
    """Return what a person calls a value."""
    if value in (BLACK, 0):
        return "black (0)"
    if value in (_WHITE, 255):
        return "white (255)"
    return f"value {value}" if isinstance(value, int) else f"color {','.join(map(str, value))}"
