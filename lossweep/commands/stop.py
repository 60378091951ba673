"""``lossweep stop``: ask a running sweep to stop."""

from __future__ import annotations

import typer

from lossweep.commands.arguments import HomeFolder, SweepName


def stop(name: SweepName, home: HomeFolder = None) -> None:
    """Ask the driver of a running sweep to finish its evaluations, keep everything and stop."""
    from lossweep.commands.reading import existing
    from search.ledger import Ledger
    from search.submitted import sweep_state

    where = existing(home)
    ledger = Ledger(where.database_url)
    try:
        ledger.sweep(name)
        state = sweep_state(where, name)
        if state is None or state.holder is None:
            typer.echo(f"no driver is running sweep {name}: nothing to stop")
            return
        ledger.request_stop(name)
        typer.echo(f"asked {state.holder} to stop sweep {name}; lossweep status {name} shows when it has")
    finally:
        ledger.close()
