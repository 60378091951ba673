"""``lossweep status``: how a sweep stands."""

from __future__ import annotations

from typing import Annotated

import typer

from lossweep.commands.arguments import SweepName, WorkspaceFolder


def status(
    name: SweepName,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep showing it until the sweep ends.")
    ] = False,
    most: Annotated[
        int, typer.Option("--top", min=1, help="How many trials of the leaderboard to show.")
    ] = 10,
    workspace: WorkspaceFolder = None,
) -> None:
    """Show how far a sweep is, what is running and the leaderboard, with the control beside the best."""
    import time

    from rich.live import Live

    from lossweep.commands.reading import existing, history_of, home_words
    from lossweep.dashboards.terminal.console import TerminalConsole
    from lossweep.dashboards.terminal.tables import status as status_table
    from lossweep.search.study.sweep_state import SweepState

    where = existing(workspace)
    console = TerminalConsole()
    history = history_of(name, where)
    if not watch:
        console.print(status_table(history, most, home_words(where)))
        if warm := [trial.number for trial in history.trials if trial.warm_start is not None]:
            console.print(f"Started warm, from former winners: trials {', '.join(map(str, warm))}")
        if history.state is SweepState.INTERRUPTED:
            typer.echo(f"\nGo on where it stopped: lossweep resume {name}{home_words(where)}")
        return
    with Live(status_table(history, most), console=console, auto_refresh=False) as live:
        while history.state is SweepState.RUNNING:
            time.sleep(1.0)
            history = history_of(name, where)
            live.update(status_table(history, most), refresh=True)
