"""The command line. Starting it imports no torch, Ray or MLflow: each command imports what it needs."""

from __future__ import annotations

import sys

import typer

from lossweep import commands
from lossweep.dashboards.terminal.encoding import tolerate
from lossweep.spaces.files.errors import LossweepError, visible_lines


def main() -> None:
    """Run the command line: exit code 0 when all went well, 2 for the user's mistakes, 1 for ours."""
    for stream in (sys.stdout, sys.stderr):
        tolerate(stream)
    try:
        commands.app()
    except LossweepError as error:
        typer.echo(visible_lines(str(error)), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
