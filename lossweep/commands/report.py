"""``lossweep report``: one self-contained page about a sweep."""

from __future__ import annotations

from pathlib import Path

import typer

from lossweep.commands.arguments import Output, SweepName, WorkspaceFolder, write_output


def report(name: SweepName, output: Output = None, workspace: WorkspaceFolder = None) -> None:
    """Write the report of a sweep as one HTML file that needs no network; also in mid-sweep."""
    from lossweep.commands.reading import existing, history_of
    from lossweep.dashboards.report.sweep_report import SweepReport

    where = existing(workspace)
    history = history_of(name, where)
    path = output or Path(f"{name}.html")
    write_output(path, SweepReport(where)(history))
    typer.echo(f"wrote {path}")
