"""The suite file: several sweep files, and what all of them search alike."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from lossweep.search.sweep_spec import NAME_PATTERN, SweepSpec
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.files.yaml_source import COMMAND_LINE, YamlSource, load_yaml, validate
from lossweep.spaces.losses.terms import Frozen

_OWN: Final = ("name", "data")
_MERGED: Final = (
    "budget", "resources", "training", "confirm", "controls", "pruning", "measure", "guards", "model",
)  # fmt: skip
"""Sections that are lists of settings; the others, a space or an objective, are taken as a whole."""


class SuiteSpec(Frozen):
    """Several data sets, searched alike.

    Attributes:
        name: of the suite; its sweeps are called ``NAME.SWEEP``.
        sweeps: sweep files, one a data set, relative to the suite file.
        same: what all of them get in place of what they say, as in a sweep file; keys may be dotted, such as
            ``budget.trials``.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    sweeps: Annotated[tuple[str, ...], Field(min_length=2)]
    same: Mapping[str, Any] = Field(default_factory=dict)


def load_suite(path: Path | str) -> tuple[str, tuple[SweepSpec, ...]]:
    """Read a suite file and all of its sweep files.

    Args:
        path: the YAML file.

    Returns:
        The suite's name, and its sweeps, each under its name in the suite.

    Raises:
        UserError: naming every mistake in every one of the files.
    """
    source = load_yaml(Path(path))
    spec = validate(SuiteSpec, source)
    base = Path(path).absolute().parent
    same = dict(_dotted(spec.same))
    problems = [
        source.located(Problem("is each sweep's own", key=f"same.{key}", hint="set it in the sweep files"))
        for key in same
        if key.partition(".")[0] in _OWN
    ]
    if problems:
        raise UserError(problems)
    found: dict[str, SweepSpec] = {}
    for index, file in enumerate(spec.sweeps):
        at = f"sweeps[{index}]"
        try:
            sweep = SweepSpec.load(base / file, same)
        except UserError as error:
            problems.extend(_blamed(problem, source) for problem in error.problems)
            continue
        name = f"{spec.name}.{sweep.name}"
        if name in found:
            hint = "give each sweep file a name of its own"
            problems.append(source.located(Problem("two sweeps of one name", key=at, found=name, hint=hint)))
        elif not re.fullmatch(NAME_PATTERN, name):
            allowed = "at most 63 characters"
            problems.append(source.located(Problem("too long a name", key=at, found=name, allowed=allowed)))
        found[name] = sweep.model_copy(update={"name": name})
    objectives = {str(sweep.objective) for sweep in found.values()}
    if not problems and len(objectives) > 1:
        hint = "set one for all: same: {objective: {use_case: balanced}}"
        told = "; ".join(sorted(objectives))
        problems.append(source.located(Problem("sweeps of different objectives", found=told, hint=hint)))
    if problems:
        raise UserError(problems)
    return spec.name, tuple(found.values())


def _blamed(problem: Problem, source: YamlSource) -> Problem:
    """A mistake of the suite's own settings is found in its file, not in that of the sweep."""
    if problem.file != COMMAND_LINE:
        return problem
    return source.located(dataclasses.replace(problem, file=None, key=f"same.{problem.key}"))


def _dotted(same: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings of a section each by itself, so that what the suite does not name stays as it was."""
    for key, value in same.items():
        if key in _MERGED and isinstance(value, Mapping):
            yield from ((f"{key}.{name}", each) for name, each in value.items())
        else:
            yield key, value
