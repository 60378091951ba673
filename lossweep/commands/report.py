"""``lossweep report``: one self-contained page about a sweep."""

from __future__ import annotations

from pathlib import Path

import typer

from lossweep.commands.arguments import HomeFolder, Output, SweepName, write_output


def report(name: SweepName, output: Output = None, home: HomeFolder = None) -> None:
    """Write the report of a sweep as one HTML file that needs no network; also in mid-sweep."""
    from dashboards.sweep_report import SweepReport
    from lossweep.commands.reading import existing, history_of

    where = existing(home)
    history = history_of(name, where)
    path = output or Path(f"{name}.html")
    write_output(path, SweepReport(where)(history))
    typer.echo(f"wrote {path}")
