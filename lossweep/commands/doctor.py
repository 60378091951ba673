"""``lossweep doctor``: find what is wrong in a home, and mend it."""

from __future__ import annotations

from typing import Annotated

import typer

from lossweep.commands.arguments import HomeFolder


def doctor(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One sweep.", show_default="all of them")
    ] = None,
    mend: Annotated[bool, typer.Option("--mend", help="Mend what was found, unasked.")] = False,
    home: HomeFolder = None,
) -> None:
    """Look for trials that nobody runs, orphan checkpoints, missing MLflow runs and stale leases.

    Changes nothing without --mend. Exit code 1 when something was found and not mended.
    """
    from dashboards.tracking import sync
    from search.doctor import MlflowCare, examine
    from search.home import Home

    where = Home.at(home)
    care = MlflowCare(
        missing=lambda history: (),
        sync=lambda history: sync(history, where.mlflow_uri, artifacts=where.artifacts),
    )
    findings = examine(where, name, care)
    for finding in findings:
        typer.echo(str(finding))
        if mend:
            typer.echo(f"  mended: {finding.mend()}")
    if not findings:
        typer.echo("all is well")
    elif not mend:
        typer.echo("nothing was changed; mend it: lossweep doctor --mend")
        raise typer.Exit(1)
