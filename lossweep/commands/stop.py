"""``lossweep stop``: ask a running sweep to stop."""

from __future__ import annotations

import typer

from lossweep.commands.arguments import SweepName, WorkspaceFolder


def stop(name: SweepName, workspace: WorkspaceFolder = None) -> None:
    """Ask the driver of a running sweep to finish its evaluations, keep everything and stop."""
    from lossweep.commands.reading import existing
    from lossweep.search.ledger import Ledger
    from lossweep.search.running.existing import existing_sweep

    where = existing(workspace)
    ledger = Ledger(where.database_url)
    try:
        ledger.sweep(name)
        state = existing_sweep(where, name)
        if state is None or state.holder is None:
            typer.echo(f"no driver is running sweep {name}: nothing to stop")
            return
        ledger.request_stop(name)
        typer.echo(f"asked {state.holder} to stop sweep {name}; lossweep status {name} shows when it has")
    finally:
        ledger.close()
