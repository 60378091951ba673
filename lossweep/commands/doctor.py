"""``lossweep doctor``: find what is wrong in a workspace, and mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import WorkspaceFolder

if TYPE_CHECKING:
    from lossweep.search.study.history import SweepHistory


def doctor(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One sweep.", show_default="all of them")
    ] = None,
    mend: Annotated[bool, typer.Option("--mend", help="Mend what was found, unasked.")] = False,
    workspace: WorkspaceFolder = None,
) -> None:
    """Look for trials that nobody runs, orphan checkpoints, missing MLflow runs and stale leases.

    Changes nothing without --mend. Exit code 1 when something was found and not mended.
    """
    from lossweep.commands.reading import existing
    from lossweep.dashboards.mlflow.consistency import missing_runs
    from lossweep.dashboards.mlflow.database import moved_from, settle
    from lossweep.dashboards.mlflow.store import EXPERIMENT
    from lossweep.dashboards.mlflow.tracking import sync
    from lossweep.dashboards.report.sweep_report import SweepReport
    from lossweep.search.addresses import sqlite_file
    from lossweep.search.upkeep.doctor import MlflowMirror, examine
    from lossweep.spaces.files.errors import UserError

    where = existing(workspace)
    store = sqlite_file(where.mlflow_uri)
    unread: dict[str, list[str]] = {}

    def missing(history: SweepHistory) -> tuple[int, ...]:
        try:
            return missing_runs(history, where.mlflow_uri)
        except UserError as error:  # what else is wrong is no less worth saying
            unread.setdefault(str(error), []).append(history.name)
            return ()

    mirror = MlflowMirror(
        missing=missing,
        sync=lambda history: sync(
            history, where.mlflow_uri, artifacts=where.artifacts, report=SweepReport(where)
        ),
        moved=lambda: moved_from(store, where.artifacts, EXPERIMENT) if store is not None else None,
        settle=lambda: settle(store, where.artifacts, EXPERIMENT) if store is not None else None,
    )
    findings = examine(where, name, mirror)
    for finding in findings:
        typer.echo(str(finding))
        if mend and finding.mend is not None:
            typer.echo(f"  mended: {finding.mend()}")
    for error, names in unread.items():
        typer.echo(f"the MLflow runs of {', '.join(names)} were not looked at: {error}", err=True)
    mendable = [finding for finding in findings if finding.mend is not None]
    if not findings:
        typer.echo("all else is well" if unread else "all is well")
    elif mendable and not mend:
        typer.echo("nothing was changed; mend it: lossweep doctor --mend")
    if len(mendable) < len(findings) or (mendable and not mend):
        raise typer.Exit(1)
