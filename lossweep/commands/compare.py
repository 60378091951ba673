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
    import shutil

    from lossweep.commands.reading import existing, history_of
    from lossweep.dashboards.terminal.compare import build_comparison

    where = existing(workspace)
    comparison = build_comparison(history_of(first, where), history_of(second, where))
    if output is None:
        typer.echo(comparison.to_text(shutil.get_terminal_size().columns))
    else:
        write_output(output, comparison.to_html())
        typer.echo(f"wrote {output}")
