"""What may stand at a place of a file, in words: read off the JSON Schema that pydantic writes of a model."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, cast

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

Location = tuple[str | int, ...]
"""Keys and list indices from the outermost value inwards."""

Form = tuple[JsonSchemaValue, frozenset[str]]
"""The schema of one form that a value may have, and the tags by which pydantic's errors name it."""


class _WithTags(GenerateJsonSchema):
    """JSON Schema that keeps the tags of unions, which the published one has no word for."""

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """Keep the forms by their tags."""
        return {"tagged": {str(tag): self.generate_inner(form) for tag, form in schema["choices"].items()}}

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        """Keep the order in which the model was written."""
        return value


@cache
def adapter_of(model: Any) -> TypeAdapter[Any]:
    """Return what validates values of any type that pydantic understands."""
    return TypeAdapter(model)


@cache
def _schema(model: Any) -> JsonSchemaValue:
    return adapter_of(cast(Hashable, model)).json_schema(schema_generator=_WithTags)


class Allowed:
    """What may stand at one place: the forms that a value may have there.

    Attributes:
        place: the user's keys and indices that lead there.
        forms: every one with its tags.
    """

    def __init__(self, place: Location, forms: Sequence[Form]) -> None:
        self.place = place
        self.forms = forms

    @classmethod
    def at(cls, location: Location, model: Any, kind: str = "") -> Allowed:
        """Follow a location of pydantic's, in which the tags of unions stand between the user's keys.

        Args:
            location: as pydantic's errors give it.
            model: the type that was validated.
            kind: of the error; the key of an ``extra_forbidden`` is the user's, though no form has it.
        """
        schema = _schema(cast(Hashable, model))
        definitions = schema.get("$defs", {})
        forms, place = list(_forms(schema, definitions)), Location()
        for position, element in enumerate(location):
            inner = [under for form, _ in forms for under in _under(form, element)]
            below = [form for each in inner for form in _forms(each, definitions)]
            if below:
                place, forms = (*place, element), below
            elif kind == "extra_forbidden" and position == len(location) - 1:
                place = (*place, element)
            else:
                forms = [each for each in forms if element in each[1] or element == _name(each[0])] or forms
        return cls(place, forms)

    @property
    def only_numbers(self) -> bool:
        """Whether nothing but a number may stand there, or a ramp of one, or nothing at all."""
        plain = [form for form, tags in self.forms if "ramp" not in tags]
        kinds = {"choice" if _choices(form) else form.get("type") for form in plain}
        return bool(kinds) and kinds <= {"number", "integer", "null"}

    @property
    def keys(self) -> list[str]:
        """The keys that mappings may have there."""
        return [key for form, _ in self.forms for key in form.get("properties", ())]

    def choices(self, key: str) -> list[str]:
        """The words that may stand under a key there."""
        return [word for form, _ in self.forms for word in _choices(form.get("properties", {}).get(key, {}))]

    def naming(self, word: str) -> str | None:
        """The key under which this word may stand in a mapping there: ``term`` for ``jaccard``."""
        keys = (key for key in dict.fromkeys(self.keys) if word in self.choices(key))
        return next(keys, None)

    def __str__(self) -> str:
        if len(self.forms) > 3 and all("properties" in form for form, _ in self.forms):
            return "keys with values"
        described = (
            "{from: ..., to: ...}" if "ramp" in tags else _described(form) for form, tags in self.forms
        )
        return "; or ".join(dict.fromkeys(filter(None, described)))


def _forms(schema: JsonSchemaValue, definitions: Mapping[str, JsonSchemaValue]) -> Iterator[Form]:
    """The forms that a schema allows, references and unions resolved."""
    if "$ref" in schema:
        yield from _forms(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    elif "tagged" in schema:
        for tag, each in schema["tagged"].items():
            for form, tags in _forms(each, definitions):
                yield form, tags | {tag}
    elif "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from _forms(each, definitions)
    else:
        yield schema, frozenset()


def _under(form: JsonSchemaValue, element: str | int) -> Iterable[JsonSchemaValue]:
    """The schemas of what may stand under a key or index."""
    if "properties" in form:
        return [form["properties"][element]] if element in form["properties"] else []
    if not form.keys() - {"title", "description", "default"}:  # anything at all
        return [form]
    if isinstance(element, str):
        values = form.get("additionalProperties", False)
        return [] if values is False else [{} if values is True else values]
    if "prefixItems" in form:
        return [form["prefixItems"][min(element, len(form["prefixItems"]) - 1)]]
    return [form["items"]] if "items" in form else []


def _name(form: JsonSchemaValue) -> str | None:
    """The name of a model, by which pydantic's errors tell it from others in a union."""
    return form.get("title") if "properties" in form else None


def _choices(form: JsonSchemaValue) -> list[str]:
    return list(map(str, [form["const"]] if "const" in form else form.get("enum", ())))


_NAMES: Final = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "string": "text",
    "array": "a list",
}
_BOUNDS: Final = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
    "exclusiveMaximum": "<",
    "minItems": "of at least",
    "minLength": "of at least",
    "pattern": "matching",
}


def _described(form: JsonSchemaValue) -> str:
    """One form in words: ``a number >= 0.0 and <= 5.0``."""
    if choices := _choices(form):
        return ", ".join(choices)
    if "properties" in form:
        inner = [f"{key}: {_bounds(each) or '...'}" for key, each in form["properties"].items()]
        return f"{{{', '.join(inner)}}}"
    if "prefixItems" in form:
        return f"a list of {len(form['prefixItems'])}"
    return " ".join(filter(None, (_NAMES.get(form.get("type", "")), _bounds(form))))


def _bounds(form: JsonSchemaValue) -> str:
    # Of a parameter that may be a ramp the bounds of the number, which are those of its ends.
    either = [*form["tagged"].values()] if "tagged" in form else form.get("anyOf", [form])
    forms = [each for each in either if each.get("type") != "null" and "properties" not in each]
    if len(forms) != 1 or "prefixItems" in forms[0]:
        return ""
    return " and ".join(f"{words} {forms[0][bound]}" for bound, words in _BOUNDS.items() if bound in forms[0])
