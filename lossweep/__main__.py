"""The command line. Starting it imports no torch, Ray or MLflow: each command imports what it needs."""

from __future__ import annotations

import sys
import traceback

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
        typer.echo(visible_lines(_told(str(error))), err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        typer.echo(_told("".join(traceback.format_exception(error))), err=True, nl=False)
        sys.exit(1)


def _told(text: str) -> str:
    """Return an error as it may be printed: a library's may quote an address with its password."""
    from lossweep.search.workspace import Workspace

    given = Workspace.given_addresses()
    if not given:
        return text
    from lossweep.search.addresses import without_secrets

    return without_secrets(text, *given)


if __name__ == "__main__":
    main()
