"""The arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="The sweep file.", show_default=False)]
SweepName = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name.", show_default=False)]
HomeFolder = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Folder of the sweeps' database, checkpoints and logs.", envvar="LOSSWEEP_HOME"
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Put a value over the file's: --set budget.trials=4. May be repeated.",
    ),
]
SystemMetrics = Annotated[
    bool,
    typer.Option(
        "--system-metrics",
        help="Also record this machine's CPU, memory and GPU use in MLflow; needs the extra 'system'.",
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write it.", show_default=False)
]


def parse_overrides(texts: list[str] | None) -> dict[str, object]:
    """Turn ``KEY=VALUE`` texts into values, each read as a sweep file would be; nothing is null.

    Raises:
        UserError: when a text has no ``=``, or its value is not YAML.
    """
    from spaces.errors import Problem, UserError
    from spaces.yaml_source import parse_yaml

    overrides: dict[str, object] = {}
    problems: list[Problem] = []
    for text in texts or []:
        key, equals, value = text.partition("=")
        try:
            overrides[key.strip()] = parse_yaml(value).data if value.strip() else None
        except UserError:
            equals = ""
        if not equals or not key.strip():
            problems.append(Problem("not a setting", key="--set", found=repr(text), allowed="KEY=VALUE"))
    if problems:
        raise UserError(problems)
    return overrides
