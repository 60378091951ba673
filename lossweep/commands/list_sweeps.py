"""``lossweep list``: the sweeps there are."""

from __future__ import annotations

from contextlib import closing

import typer

from lossweep.commands.arguments import HomeFolder


def list_sweeps(home: HomeFolder = None) -> None:
    """List the sweeps of a home: how far each is, how its trials ended, its best against its control."""
    from rich.console import Console

    from dashboards.tables import sweeps
    from search.home import Home
    from search.ledger import Ledger

    where = Home.at(home)
    histories = []
    if not where.is_new:
        with closing(Ledger(where.database_url)) as ledger:
            histories = [ledger.history(record.name) for record in ledger.sweeps()]
    if histories:
        Console().print(sweeps(histories))
    else:
        typer.echo(f"no sweeps in {where.root}; start one: lossweep submit examples/scenes.yaml")
