"""The arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="The sweep file.", show_default=False)]
OtherTrial = Annotated[
    int | None, typer.Option("--trial", help="Another trial than the winner.", show_default=False)
]
NominalBest = Annotated[
    bool,
    typer.Option("--nominal-best", help="The best confirmed mean, though a simpler schedule is as good."),
]
Floor = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="FLOOR",
        help='The threshold that keeps a floor on validation: "precision>=0.3" or "recall>=0.9".',
        show_default=False,
    ),
]
RegisteredName = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Register under a name.", show_default="the sweep's"),
]
Alias = Annotated[str, typer.Option("--alias", help="That points to the registered version.")]
Anyway = Annotated[
    bool, typer.Option("--anyway", help="Register what no verdict stands behind; its tags say so.")
]
CHAMPION: Final = "champion"
"""The alias that a service loads: ``models:/NAME@champion``."""
SweepName = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name.", show_default=False)]
WorkspaceFolder = Annotated[
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
MetricsPort = Annotated[
    str | None,
    typer.Option(
        "--metrics-port",
        metavar="[HOST:]PORT",
        envvar="LOSSWEEP_METRICS_PORT",
        help="Serve figures of the driver for Prometheus, on loopback unless a host is given; of a range "
        "such as 9200-9215 the first free port. Needs the extra 'prometheus'.",
        show_default=False,
    ),
]
JsonLog = Annotated[
    bool,
    typer.Option(
        "--json-log",
        envvar="LOSSWEEP_JSON_LOG",
        help="Write the driver's log as JSON, a line a message, with how each trial began and ended.",
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed",
        help="Also try again what failed, such as by a mistake in a loss that is mended now.",
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
    from lossweep.spaces.files.errors import Problem, UserError
    from lossweep.spaces.files.yaml_source import parse_yaml

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


def write_output(path: Path, content: str) -> None:
    """Write a file the user named.

    Raises:
        UserError: when it cannot be written there.
    """
    check_output(path)
    path.write_text(content, encoding="utf-8")


def check_output(path: Path) -> None:
    """Make sure that a file can be written, before much is done for it.

    Raises:
        UserError: when its folder is missing, or the user may not write there.
    """
    import os

    from lossweep.spaces.files.errors import Problem, UserError

    folder = path.absolute().parent
    if path.is_dir():
        why = "is a folder"
    elif not folder.is_dir():
        why = "its folder is missing"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        why = "may not be written"
    else:
        return
    raise UserError(Problem(why, key="--output", found=str(path)))
