"""YAML that remembers its lines, so that whatever is wrong in it can be named by file, line and key."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from lossweep.spaces.files.allowed import Location
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.files.expansion import check_expansion
from lossweep.spaces.files.validation import dotted, read_dotted, validated

T = TypeVar("T")

LARGEST_FILE: Final = 2**20
"""Bytes of the largest file that is read: what people and lossweep write has some thousands."""

COMMAND_LINE: Final = "command line"
"""The file that errors name for values which no file gave."""


@dataclass(frozen=True, slots=True)
class YamlSource:
    """Plain data and where each of its keys stands.

    Attributes:
        data: mappings, lists and scalars.
        file: the file's name as the user gave it, or None.
        lines: line of each key or list item, counted from 1, by its location: ``("phases", 0, "loss")``.
        text: what was read.
        overrides: locations of values that were put over the file's.
    """

    data: Any
    file: str | None = None
    lines: Mapping[Location, int] = field(default_factory=dict)
    text: str = ""
    overrides: frozenset[Location] = frozenset()

    def overridden(self, values: Mapping[str, Any]) -> YamlSource:
        """Put values over those of the file; what is wrong with them is then blamed on the command line.

        Args:
            values: by dotted key: ``{"budget.trials": 4, "space.phases[0].share": 0.5}``.

        Raises:
            UserError: when a key leads through something that has no keys.
        """
        data, places, problems = copy.deepcopy(self.data), set(self.overrides), []
        for key, value in values.items():
            place = read_dotted(key)
            try:
                _put(data, place, value)
            except (LookupError, TypeError):
                problems.append(Problem("can't be set: there is nothing to set it in", COMMAND_LINE, key=key))
            places.add(place)
        if problems:
            raise UserError(problems)
        return dataclasses.replace(self, data=data, overrides=frozenset(places))

    def line_of(self, location: Sequence[str | int]) -> int | None:
        """The line of a key, or of the nearest one around it when it is missing."""
        place = tuple(location)
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place)

    def located(self, problem: Problem, at: Sequence[str | int] = ()) -> Problem:
        """Give a problem found later its file and line.

        Args:
            problem: with its dotted key.
            at: the location its key is counted from.
        """
        place = (*at, *read_dotted(problem.key or ""))
        key = dotted(place) or problem.key
        if any(place[: len(override)] == override for override in self.overrides):
            return dataclasses.replace(problem, file=COMMAND_LINE, key=key)
        return dataclasses.replace(problem, file=self.file, line=self.line_of(place), key=key)


def _put(data: Any, place: Location, value: Any) -> None:
    """Set the value at a location, with the mappings around it where they are missing."""
    *around, last = place
    for element in around:
        if isinstance(data, dict) and data.get(element) is None:
            data[element] = {}
        data = data[element]
    if isinstance(data, list) != isinstance(last, int):
        raise TypeError
    data[last] = value


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of scalars: ``1e-3`` is a number, and ``no``, ``off`` and dates are text."""

    # A dict of its own: PyYAML's resolvers are those of YAML 1.1.
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's typing


_SCALARS: Final = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
    ("merge", r"<<", ["<"]),
)
for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 16) if text.lower().startswith("0x") else int(text)


# YAML 1.1, and PyYAML with it, reads 010 as eight.
_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


def load_yaml(path: str | Path) -> YamlSource:
    """Read a YAML (or JSON) file.

    Raises:
        UserError: when it can't be read, isn't YAML, or gives a key twice.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        text = content.decode("utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(Problem(f"can't be read: {reason}", file=str(path))) from error
    except UnicodeDecodeError as error:
        raise UserError(Problem("is not text in UTF-8", file=str(path))) from error
    if len(content) > LARGEST_FILE:
        allowed = f"at most {LARGEST_FILE / 2**20:.0f} MiB"
        raise UserError(
            Problem("is too large to be one of lossweep's files", file=str(path), allowed=allowed)
        )
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str | None = None) -> YamlSource:
    """Read YAML (or JSON) text; ``file`` is the name errors give it.

    Raises:
        UserError: when it isn't YAML, is empty, or gives a key twice.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise UserError(Problem("is empty" if file else "there is nothing in it", file=file))
            check_expansion(node, file)
            lines: dict[Location, int] = {}
            problems: list[Problem] = []
            data = _construct(loader, node, (), lines, problems, frozenset())
            problems.sort(key=lambda problem: problem.line or 0)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        line = mark.line + 1 if mark else None
        raise UserError(Problem(f"is not YAML: {reason}", file=file, line=line)) from error
    except RecursionError as error:
        raise UserError(Problem("is nested too deeply", file=file)) from error
    if problems:
        raise UserError([dataclasses.replace(problem, file=file) for problem in problems])
    return YamlSource(data=data, file=file, lines=lines, text=text)


def parse_json(text: str, file: str | None = None) -> YamlSource:
    """Read JSON text; ``file`` is the name errors give it. Lines are known where the text is YAML as well.

    Raises:
        UserError: when it isn't JSON, or gives a key twice.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(Problem(f"is not JSON: {error.msg}", file=file, line=error.lineno)) from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of over 4,300 digits
        raise UserError(Problem(f"is not JSON that can be read: {error}", file=file)) from error
    try:
        lines = parse_yaml(text, file)
    except UserError as error:
        if not isinstance(error.__cause__, yaml.YAMLError):
            raise
        # Indented with tabs, for one, JSON is not YAML.
        return YamlSource(data=data, file=file, text=text)
    return dataclasses.replace(lines, data=data)


def _construct(
    loader: _Loader,
    node: yaml.Node,
    at: Location,
    lines: dict[Location, int],
    problems: list[Problem],
    around: frozenset[int],
) -> Any:
    """Build the data of a node and note the lines of what is in it."""
    line = node.start_mark.line + 1
    lines.setdefault(at, line)
    if id(node) in around:
        problems.append(Problem("an alias stands inside its own anchor", line=line, key=dotted(at)))
        return None
    around = around | {id(node)}
    if not isinstance(node, yaml.ScalarNode) and not node.tag.endswith((":map", ":seq")):
        problems.append(Problem(f"the tag {node.tag} has no meaning here", line=line, key=dotted(at) or None))
    if isinstance(node, yaml.MappingNode):
        problems += _twice(node, at)
        loader.flatten_mapping(node)
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            # Only text can be a key of what lossweep reads; a number or null is taken as it was written.
            key = str(key_node.value)
            lines[(*at, key)] = key_node.start_mark.line + 1
            data[key] = _construct(loader, value_node, (*at, key), lines, problems, around)
        return data
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(loader, each, (*at, index), lines, problems, around)
            for index, each in enumerate(node.value)
        ]
    try:
        return loader.construct_object(node)
    except ValueError:  # Python reads no whole numbers of more than 4,300 digits
        problems.append(Problem("is not a number that can be read", line=line, key=dotted(at) or None))
        return None


def _twice(node: yaml.MappingNode, at: Location) -> Iterator[Problem]:
    """Yield a problem for each key that a mapping gives again."""
    first: dict[str, int] = {}
    for key_node, _ in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in first:
            message = f"the key is given twice, first on line {first[key]}"
            yield Problem(message, line=line, key=dotted((*at, key)))
        first.setdefault(key, line)


def plain_source(data: Any, file: str | None = None) -> YamlSource:
    """Plain data that was not read from YAML, for `validate`."""
    return YamlSource(data=data, file=file)


def validate(model: type[T], source: YamlSource, at: Sequence[str | int] = ()) -> T:
    """Read a value of ``model`` from a source.

    Args:
        model: a pydantic model, or any type that pydantic understands.
        source: where it stands.
        at: the location of the part of the source that is read.

    Raises:
        UserError: with everything that is wrong: file, line, key, what was found, what is allowed.
    """
    data = source.data
    for element in at:
        data = data[element]
    return validated(model, data, lambda problem: source.located(problem, at))


class _Dumper(yaml.SafeDumper):
    """Nothing as an alias; text that YAML 1.1 or 1.2 takes for something else in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # These break lines in YAML; only double quotes keep them as they are.
    style = '"' if any(breaking in text for breaking in "\n\r\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
for _tag, _pattern, _first in _SCALARS:
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


_LONG = 100
"""Characters from which a mapping is written a line a key."""


def write_yaml(data: Mapping[str, Any], first: Sequence[str] = ()) -> str:
    """Write plain data as YAML that a person can read and that reads back exactly.

    Args:
        data: the outermost mapping.
        first: keys in the order they are to stand in; others follow.
    """
    ordered = {key: data[key] for key in (*first, *(key for key in data if key not in first)) if key in data}
    parts = []
    for key, value in ordered.items():
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            items = "".join(f"  - {flow(each)}\n" for each in value)
            parts.append(f"{flow(key)}:\n{items}")
        elif isinstance(value, dict) and len(flow(value)) > _LONG:
            items = "".join(f"  {flow(inner)}: {flow(each)}\n" for inner, each in value.items())
            parts.append(f"{flow(key)}:\n{items}")
        else:
            parts.append(f"{flow(key)}: {flow(value)}\n")
    return "".join(parts)


def flow(value: Any) -> str:
    """Write plain data as YAML on one line."""
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")
