"""What pydantic finds wrong, in the user's words: key, what was found, what is allowed, what was meant."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lossweep.spaces.files.allowed import Allowed, Location, adapter_of
from lossweep.spaces.files.errors import Problem, UserError, nearest

T = TypeVar("T")


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
        value: T = adapter_of(cast(Hashable, model)).validate_python(data)
    except ValidationError as error:
        found = problems_of(error, model)
        named = {problem.key for problem in found}
        found += [problem for problem in flags if problem.key not in named]
        raise UserError(_by_line(map(located, found))) from None
    if flags:
        raise UserError(_by_line(map(located, flags)))
    return value


def _by_line(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.line or 0)


def _flags_for_numbers(data: Any, at: Location, model: Any) -> Iterator[Problem]:
    """Yield a problem for each true or false where only numbers may stand: pydantic takes them for 1 or 0."""
    if isinstance(data, bool):
        allowed = Allowed.at(at, model)
        if allowed.only_numbers:
            yield Problem("is not a number", None, None, dotted(at), rendered(data), str(allowed))
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
    allowed = Allowed.at(at, model, kind)
    place = allowed.place
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
            known = allowed.keys
            name = str(details["loc"][-1])
            return Problem(
                f"unknown key {name!r}",
                key=dotted(place),
                found=rendered(found),
                allowed=", ".join(known),
                hint=nearest(name, known),
            )
        case "missing" | "missing_argument":
            return Problem("is missing", key=dotted(place), allowed=str(allowed) or None)
        case "union_tag_invalid" | "union_tag_not_found":
            name = context["discriminator"].strip("'")
            expected = context.get("expected_tags", "").split(", ")
            tags = [tag.strip("'") for tag in expected if tag] or allowed.choices(name)
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
        allowed=str(allowed) or _WANTED.get(kind),
        hint=_written_out(found, allowed),
    )


def _written_out(found: Any, allowed: Allowed) -> str | None:
    """The hint for a bare name where its mapping is wanted: ``jaccard`` for ``{term: jaccard}``."""
    key = allowed.naming(found) if isinstance(found, str) else None
    return f"write {{{key}: {found}}}" if key else None


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


def allowed_in(model: Any, location: Location) -> str | None:
    """What may stand at a location of a model, in words: ``a number >= 0.0 and <= 5.0``."""
    return str(Allowed.at(location, model)) or None
