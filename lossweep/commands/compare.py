"""``lossweep compare``: two sweeps side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from lossweep.commands.arguments import Output, WorkspaceFolder, write_output


def compare(
    first: Annotated[str, typer.Argument(metavar="SWEEP_A", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="SWEEP_B", show_default=False)],
    output: Output = None,
    workspace: WorkspaceFolder = None,
) -> None:
    """Hold two sweeps against each other: who won, by how much, and whether they can be compared at all."""
    from lossweep.commands.reading import existing, history_of
    from lossweep.dashboards.comparison.two_sweeps import build_comparison

    where = existing(workspace)
    comparison = build_comparison(history_of(first, where), history_of(second, where))
    if output is None:
        from lossweep.dashboards.terminal.compare import ComparisonTable
        from lossweep.dashboards.terminal.console import TerminalConsole

        TerminalConsole().print(ComparisonTable(comparison))
    else:
        from lossweep.dashboards.comparison.page import comparison_page

        write_output(output, comparison_page(comparison))
        typer.echo(f"wrote {output}")
