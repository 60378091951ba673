"""Writes the reference of sweep files, docs/sweep-file.md, from the models that check them.

python docs/sweep_file.py     # writes the page anew
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.losses.term import Term
from lossweep.spaces.losses.terms import Frozen

PAGE: Final = Path(__file__).parent / "sweep-file.md"
_TOP: Final = """\
# The sweep file, key by key

Written by `python docs/sweep_file.py` from the models that check a sweep file. The same as JSON Schema, for
an editor: `lossweep schema`. What a key is for, with examples, stands on the page of its section:
[data](data.md), [spaces](schedules.md), [losses](losses.md), [search](search.md), [training](training.md),
[metrics](metrics.md), [guards](guards.md), [operations](operations.md).
"""
_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def page() -> str:
    """The whole page."""
    schema = SweepSpec.model_json_schema()
    models = {model.__name__: model for model in _subclasses(Frozen)}
    sections = [_section("SweepSpec", schema, SweepSpec)]
    sections += [
        _section(name, schema["$defs"][name], models[name])
        for name in _reached(schema)
        if name in models and not issubclass(models[name], Term)
    ]
    return "\n".join([_TOP, *sections])


def _section(name: str, schema: Mapping[str, Any], model: type[Frozen]) -> str:
    """A model: what it is, and a row a key."""
    told, required = documented(model), schema.get("required", ())
    title = "The file" if model is SweepSpec else f"`{name}`"
    lines = [
        f"## {title}",
        "",
        _summary(model),
        "",
        "| key | value | default | |",
        "| --- | --- | --- | --- |",
    ]
    for key, value in schema.get("properties", {}).items():
        default = "required" if key in required else _default(value)
        text = told.get(key) or " ".join(value.get("description", "").split()) or _first_sentence(value)
        lines.append(f"| `{key}` | {words(value)} | {default} | {_cell(text)} |")
    return "\n".join([*lines, ""])


def documented(model: type[Frozen]) -> dict[str, str]:
    """What the docstrings of a model and of those it inherits from say of each attribute."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
        _, _, attributes = text.partition("Attributes:\n")
        found |= {name: " ".join(words.split()) for name, words in _ATTRIBUTE.findall(attributes)}
    return found


def words(schema: Mapping[str, Any]) -> str:
    """What a value may be, from its JSON Schema."""
    if "$ref" in schema:
        return _link(schema["$ref"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(words(one) for one in schema[several]))
    if "allOf" in schema:
        return words(schema["allOf"][0])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    match schema.get("type"):
        case "array":
            if "prefixItems" in schema:
                return f"[{', '.join(words(one) for one in schema['prefixItems'])}]"
            return f"list of {words(schema.get('items', {}))}"
        case "object":
            extra = schema.get("additionalProperties")
            return f"mapping to {words(extra)}" if isinstance(extra, Mapping) and extra else "mapping"
        case "null":
            return "`null`"
        case "boolean":
            return "`true`, `false`"
        case "integer" | "number" as kind:
            return _number("whole number" if kind == "integer" else "number", schema)
        case "string":
            return f"text `{_cell(schema['pattern'])}`" if "pattern" in schema else "text"
    return "anything"


def _number(kind: str, schema: Mapping[str, Any]) -> str:
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    told = [f"{sign} {schema[key]:g}" for key, sign in bounds.items() if key in schema]
    if "multipleOf" in schema:
        told.append(f"multiple of {schema['multipleOf']:g}")
    return f"{kind} {', '.join(told)}".strip()


def _default(schema: Mapping[str, Any]) -> str:
    if "default" not in schema:
        return ""
    value = schema["default"]
    if isinstance(value, dict) and value:
        return "its own defaults"
    return f"`{_cell(json.dumps(value, ensure_ascii=False))}`"


def _first_sentence(schema: Mapping[str, Any]) -> str:
    """What the one model says of itself that a value is."""
    names = set(re.findall(r"#/\$defs/(\w+)", json.dumps(schema)))
    models = [model for model in _subclasses(Frozen) if model.__name__ in names]
    return _summary(models[0]).partition(". ")[0].partition("\n")[0] if len(models) == 1 else ""


def _summary(model: type[Frozen]) -> str:
    text, _, _ = inspect.cleandoc(model.__doc__ or "").partition("\n\nAttributes:")
    return _code(text)


def _cell(text: str) -> str:
    return _code(text.replace("|", "\\|"))


def _code(text: str) -> str:
    """Docstrings mark code with two backticks and speak Python, the page has one and speaks YAML."""
    for python, yaml in (("None", "`null`"), ("True", "`true`"), ("False", "`false`")):
        text = re.sub(rf"(?<!`)\b{python}\b(?!`)", yaml, text)
    return text.replace("``", "`")


def _link(reference: str) -> str:
    name = reference.rpartition("/")[2]
    models = {model.__name__: model for model in _subclasses(Frozen)}
    if name not in models:
        return "anything"
    if issubclass(models[name], Term):
        return f"[`{models[name].known_as()}`](losses.md)"
    return f"[`{name}`](#{name.lower()})"


def _reached(schema: Mapping[str, Any]) -> Iterator[str]:
    """The definitions in the order in which the file's keys lead to them."""
    seen: dict[str, None] = {}
    waiting = [schema]
    while waiting:
        for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(waiting.pop(0).get("properties", {}))):
            if name not in seen:
                seen[name] = None
                waiting.append(schema["$defs"][name])
    yield from seen


def _subclasses(model: type[Frozen]) -> Iterator[type[Frozen]]:
    for each in model.__subclasses__():
        yield each
        yield from _subclasses(each)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
