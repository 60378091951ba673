"""``lossweep list``: the sweeps there are."""

from __future__ import annotations

from contextlib import closing

import typer

from lossweep.commands.arguments import WorkspaceFolder


def list_sweeps(workspace: WorkspaceFolder = None) -> None:
    """List the sweeps of a home: how far each is, how its trials ended, its best against its control."""
    from rich.console import Console

    from lossweep.dashboards.terminal.tables import sweeps
    from lossweep.search.ledger import Ledger
    from lossweep.search.workspace import Workspace

    where = Workspace.at(workspace)
    histories = []
    if not where.is_new:
        with closing(Ledger(where.database_url)) as ledger:
            histories = [ledger.history(record.name) for record in ledger.sweeps()]
    if histories:
        Console().print(sweeps(histories))
    else:
        typer.echo(f"no sweeps in {where.root}; start one: lossweep submit examples/scenes.yaml")
