"""The command line. Starting it imports no torch, Ray or MLflow: each command imports what it needs."""

from __future__ import annotations

import sys

import typer

from lossweep import commands
from lossweep.spaces.files.errors import LossweepError


def main() -> None:
    """Run the command line: exit code 0 when all went well, 2 for the user's mistakes, 1 for ours."""
    try:
        commands.app()
    except LossweepError as error:
        typer.echo(f"{error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
