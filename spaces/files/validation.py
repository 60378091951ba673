"""What pydantic finds wrong, in the user's words: key, what was found, what is allowed, what was meant."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import annotated_types
from pydantic import BaseModel, Tag, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from lossweep.spaces.files.errors import Problem, UserError, nearest

T = TypeVar("T")
Location = tuple[str | int, ...]
"""Keys and list indices from the outermost value inwards."""

_Member = tuple[Any, tuple[Any, ...]]
"""A type that may stand at a place, and the metadata (constraints, tags) it is annotated with."""


def dotted(location: Sequence[str | int]) -> str:
    """Write a location as users read it: ``phases[1].loss.gamma``."""
    text = ""
    for element in location:
        text += f"[{element}]" if isinstance(element, int) else f".{element}" if text else element
    return text


def read_dotted(key: str) -> Location:
    """Read what `dotted` wrote (keys that themselves hold dots or brackets are not told apart)."""
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", key)
    return tuple(int(index) if index else name for index, name in parts)


def validated(
    model: type[T], data: Any, located: Callable[[Problem], Problem] = lambda problem: problem
) -> T:
    """Read a value from plain data.

    Args:
        model: a pydantic model, or any type that pydantic understands.
        data: plain data.
        located: gives a problem its file and line.

    Raises:
        UserError: with every problem.
    """
    flags = list(_flags_for_numbers(data, (), model))
    try:
        value: T = _adapter(cast(Hashable, model)).validate_python(data)
    except ValidationError as error:
        found = problems_of(error, model)
        named = {problem.key for problem in found}
        found += [problem for problem in flags if problem.key not in named]
        raise UserError(_by_line(map(located, found))) from None
    if flags:
        raise UserError(_by_line(map(located, flags)))
    return value


@cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _by_line(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.line or 0)


def _flags_for_numbers(data: Any, at: Location, model: Any) -> Iterator[Problem]:
    """Yield a problem for each true or false where only numbers may stand: pydantic takes them for 1 or 0."""
    if isinstance(data, bool):
        _, members = _descend(at, model, "")
        kinds = {annotation for annotation, _ in members}
        if kinds and kinds <= {int, float, type(None)}:
            yield Problem("is not a number", None, None, dotted(at), rendered(data), _allowed(members))
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _flags_for_numbers(value, (*at, key), model)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _flags_for_numbers(value, (*at, index), model)


def problems_of(error: ValidationError, model: Any) -> list[Problem]:
    """Translate a pydantic error.

    Args:
        error: what pydantic raised.
        model: the type that was validated: where the allowed keys and ranges are read from.

    Returns:
        One problem for each wrong place; several complaints of one place are joined.
    """
    places: dict[str, list[Problem]] = {}
    found = error.errors(include_url=False)
    wrong = [details["loc"] for details in found]
    for details in found:
        at = details["loc"]
        if details["type"] == "too_short" and any(each != at and each[: len(at)] == at for each in wrong):
            # Pydantic doesn't count the items that are themselves wrong.
            continue
        problem = _problem(details, model)
        places.setdefault(problem.key or "", []).append(problem)
    return [_joined(problems) for problems in places.values()]


def _joined(problems: list[Problem]) -> Problem:
    """One problem from those that the forms of an untagged union raise about the same place."""
    first = problems[0]
    messages = list(dict.fromkeys(problem.message for problem in problems))
    allowed = list(dict.fromkeys(problem.allowed for problem in problems if problem.allowed))
    return Problem(
        message=messages[0] if len(messages) == 1 else " or ".join(messages),
        key=first.key,
        found=first.found,
        allowed="; or ".join(allowed) or None,
        hint=next((problem.hint for problem in problems if problem.hint), None),
    )


def _problem(details: ErrorDetails, model: Any) -> Problem:
    kind, context, found = details["type"], details.get("ctx", {}), details["input"]
    at = details["loc"]
    if kind == "finite_number" and at[-1:] == ("float",):  # pydantic's name for a number within JSON
        at = at[:-1]
    place, members = _descend(at, model, kind)
    match kind:
        case "refused":
            key = str(context.get("key") or "")
            inner = (*place, *read_dotted(key))
            stands = context.get("found") or (rendered(_at(found, read_dotted(key))) if key else None)
            return Problem(
                context["message"],
                None,
                None,
                dotted(inner) or None,
                stands,
                context["allowed"],
                context["hint"],
            )
        case "extra_forbidden":
            known = list(_keys(members))
            name = str(details["loc"][-1])
            return Problem(
                f"unknown key {name!r}",
                key=dotted(place),
                found=rendered(found),
                allowed=", ".join(known),
                hint=nearest(name, known),
            )
        case "missing" | "missing_argument":
            return Problem("is missing", key=dotted(place), allowed=_allowed(members))
        case "union_tag_invalid" | "union_tag_not_found":
            name = context["discriminator"].strip("'")
            tags = [tag.strip("'") for tag in context.get("expected_tags", "").split(", ") if tag] or list(
                _tags(members, name)
            )
            stands = context.get("tag")
            return Problem(
                "is missing" if stands is None else f"unknown {name} {stands!r}",
                key=dotted((*place, name)),
                found=None if stands is None else stands,
                allowed=", ".join(tags),
                hint=None if stands is None else nearest(stands, tags),
            )
        case "literal_error" | "enum":
            choices = [choice.strip("'") for choice in re.split(r", | or ", context["expected"])]
            hint = nearest(found, choices) if isinstance(found, str) else None
            return Problem(
                "is not one of the choices",
                None,
                None,
                dotted(place),
                rendered(found),
                ", ".join(choices),
                hint,
            )
        case "value_error" | "assertion_error":
            return Problem(str(context["error"]), key=dotted(place) or None, found=rendered(found))
    return Problem(
        _MESSAGES.get(kind, details["msg"][:1].lower() + details["msg"][1:]),
        key=dotted(place) or None,
        found=rendered(found),
        allowed=_allowed(members) or _WANTED.get(kind),
        hint=_written_out(found, members),
    )


def _written_out(found: Any, members: Sequence[_Member]) -> str | None:
    """The hint for a bare name where its mapping is wanted: ``jaccard`` for ``{term: jaccard}``."""
    for annotation, _ in members:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(found, str):
            for name in annotation.model_fields:
                if found in _tags(members, name):
                    return f"write {{{name}: {found}}}"
    return None


_WANTED: Mapping[str, str] = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
}
_MESSAGES: Mapping[str, str] = {
    **{kind: f"is not {wanted}" for kind, wanted in _WANTED.items()},
    "finite_number": "is not finite",
    "greater_than": "is out of range",
    "greater_than_equal": "is out of range",
    "less_than": "is out of range",
    "less_than_equal": "is out of range",
    "too_short": "is too short",
    "too_long": "is too long",
}


def rendered(value: Any, most: int = 80) -> str:
    """Show a value as it would stand in a file, shortened."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_unset=True)
    text = value if isinstance(value, str) and value else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 3] + "..."


def _at(value: Any, location: Location) -> Any:
    for element in location:
        if isinstance(value, BaseModel):
            value = getattr(value, str(element), None)
        elif isinstance(value, Mapping):
            value = value.get(element)
        else:
            value = value[element] if isinstance(element, int) and isinstance(value, Sequence) else None
    return value


def _members(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[_Member]:
    """The types an annotation allows, unions and annotations taken apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extra = get_args(annotation)
        for each in extra:
            metadata += (*each.metadata, each) if isinstance(each, FieldInfo) else (each,)
        yield from _members(inner, metadata)
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from _members(each, metadata)
    elif hasattr(annotation, "__value__"):
        yield from _members(annotation.__value__, metadata)
    else:
        yield annotation, metadata


def _inside(member: _Member, element: str | int) -> Iterator[_Member]:
    """The types that may stand under a key or index of a member."""
    annotation, _ = member
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, info in annotation.model_fields.items():
            if element in (name, info.alias):
                yield from _members(info.annotation, tuple(info.metadata))
        return
    origin: Any = get_origin(annotation)
    arguments = get_args(annotation)
    if origin in (tuple, list, set, frozenset, Sequence) and isinstance(element, int) and arguments:
        fixed = origin is tuple and arguments[-1] is not Ellipsis
        yield from _members(arguments[min(element, len(arguments) - 1)] if fixed else arguments[0])
    elif origin in (dict, Mapping) and isinstance(element, str):
        yield from _members(arguments[1])
    elif annotation is Any:
        yield member


def _descend(location: Location, model: Any, kind: str) -> tuple[Location, list[_Member]]:
    """Split pydantic's location into the user's keys and the tags of unions; find what may stand there."""
    members = list(_members(model))
    place: Location = ()
    for position, element in enumerate(location):
        below = [each for member in members for each in _inside(member, element)]
        if below:
            place, members = (*place, element), below
        elif kind == "extra_forbidden" and position == len(location) - 1:
            place = (*place, element)
        else:
            members = [member for member in members if _is_tagged(member, element)] or members
    return place, members


def _is_tagged(member: _Member, element: str | int) -> bool:
    annotation, metadata = member
    if any(isinstance(each, Tag) and each.tag == element for each in metadata):
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        literals = (info.annotation for info in annotation.model_fields.values())
        return annotation.__name__ == element or any(
            get_origin(each) is Literal and element in get_args(each) for each in literals
        )
    return False


def _keys(members: Sequence[_Member]) -> Iterator[str]:
    for annotation, _ in members:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from annotation.model_fields


def _tags(members: Sequence[_Member], name: str) -> Iterator[str]:
    for annotation, _ in members:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            info = annotation.model_fields.get(name)
            if info is not None and get_origin(info.annotation) is Literal:
                yield from map(str, get_args(info.annotation))


def _allowed(members: Sequence[_Member]) -> str | None:
    if len(members) > 3:
        models = all(isinstance(each, type) and issubclass(each, BaseModel) for each, _ in members)
        if models:
            return "keys with values"
    return "; or ".join(dict.fromkeys(text for member in members if (text := _described(member)))) or None


def allowed_in(model: Any, location: Location) -> str | None:
    """What may stand at a location of a model, in words: ``a number >= 0.0 and <= 5.0``."""
    return _allowed(_descend(location, model, "")[1])


_NAMES: Mapping[Any, str] = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}


def _described(member: _Member) -> str:
    """What may stand for a member, in words: ``a number >= 0.0 and <= 5.0``."""
    annotation, metadata = member
    origin: Any = get_origin(annotation)
    if origin is Literal:
        return ", ".join(map(str, get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        inner = {name: _bounds(tuple(info.metadata)) for name, info in annotation.model_fields.items()}
        return "{" + ", ".join(f"{name}: {bounds or '...'}" for name, bounds in inner.items()) + "}"
    name = _NAMES.get(annotation, "a list" if origin in (tuple, list) else "")
    if origin is tuple and get_args(annotation)[-1] is not Ellipsis:
        name = f"a list of {len(get_args(annotation))}"
    return " ".join(part for part in (name, _bounds(metadata)) if part)


def _bounds(metadata: Sequence[Any]) -> str:
    return " and ".join(text for each in metadata if (text := _bound(each)))


def _bound(constraint: Any) -> str:
    match constraint:
        case annotated_types.Ge(ge=value):
            return f">= {value}"
        case annotated_types.Gt(gt=value):
            return f"> {value}"
        case annotated_types.Le(le=value):
            return f"<= {value}"
        case annotated_types.Lt(lt=value):
            return f"< {value}"
        case annotated_types.MinLen(min_length=value):
            return f"of at least {value}"
        case _:
            pattern = getattr(constraint, "pattern", None)
            return f"matching {pattern}" if isinstance(pattern, str) else ""
