"""The command line. Starting it imports no torch, Ray or MLflow: each command imports what it needs."""

from __future__ import annotations

import errno
import sys

_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)
"""What the disk says to what the user may not do there, or has no room for: told in one line."""


def main() -> None:
    """Run the command line.

    Exit code 0 when all went well, 2 for the user's mistakes, 1 for ours, 130 when a signal interrupted it.
    """
    from lossweep.search.running.stopping import EXIT_CODE, interrupt_on_signals

    try:
        heard = interrupt_on_signals()  # before anything else: importing the commands takes a while
        sys.exit(_run(heard))
    except KeyboardInterrupt:
        sys.exit(EXIT_CODE)


def _run(heard: list[str]) -> int:
    import traceback

    import typer

    from lossweep import commands
    from lossweep.dashboards.terminal.encoding import tolerate
    from lossweep.spaces.files.errors import LossweepError, one_line, visible_lines

    for stream in (sys.stdout, sys.stderr):
        tolerate(stream)
    try:
        commands.app()
    except LossweepError as error:
        typer.echo(visible_lines(_told(str(error))), err=True)
        return error.exit_code
    except Exception as error:
        if heard:  # what a library made of the interruption
            raise KeyboardInterrupt from error
        if isinstance(error, OSError) and error.errno in _CLOSED and error.filename is not None:
            typer.echo(one_line(f"{error.filename}: {error.strerror}"), err=True)
            return 2
        typer.echo(_told("".join(traceback.format_exception(error))), err=True, nl=False)
        return 1
    return 0


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
