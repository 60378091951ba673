"""``lossweep list``: the sweeps there are."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import typer

from lossweep.commands.arguments import WorkspaceFolder

if TYPE_CHECKING:
    from lossweep.search.study.history import SweepHistory


def list_sweeps(workspace: WorkspaceFolder = None) -> None:
    """List the sweeps of a home: how far each is, how its trials ended, its best against its control."""
    from lossweep.dashboards.terminal.console import TerminalConsole
    from lossweep.dashboards.terminal.tables import sweeps
    from lossweep.search.ledger import Ledger
    from lossweep.search.workspace import Workspace
    from lossweep.spaces.files.errors import UserError

    where = Workspace.at(workspace)
    histories: list[SweepHistory] = []
    unreadable: list[UserError] = []
    if not where.is_new:
        with closing(Ledger(where.database_url, read_only=True)) as ledger:
            for name in ledger.names():
                try:
                    histories.append(ledger.history(name))
                except UserError as error:  # one that cannot be read hides none of the others
                    unreadable.append(error)
    if histories:
        TerminalConsole().print(sweeps(histories))
    for why in unreadable:
        typer.echo(f"{why}", err=True)
    if not histories and not unreadable:
        typer.echo(f"no sweeps in {where.root}; start one: lossweep submit examples/scenes.yaml")
