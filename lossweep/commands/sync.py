"""``lossweep sync``: rebuild MLflow from the study."""

from __future__ import annotations

import typer

from lossweep.commands.arguments import SweepName, WorkspaceFolder


def sync(name: SweepName, workspace: WorkspaceFolder = None) -> None:
    """Make MLflow equal the study, number by number; the study is the source of truth."""
    from lossweep.commands.reading import existing, history_of
    from lossweep.dashboards.mlflow.tracking import sync as sync_mlflow
    from lossweep.dashboards.report.sweep_report import SweepReport

    where = existing(workspace)
    changed = sync_mlflow(
        history_of(name, where), where.mlflow_uri, artifacts=where.artifacts, report=SweepReport(where)
    )
    typer.echo(
        f"{changed} MLflow runs of sweep {name} changed" if changed else f"MLflow equals sweep {name} already"
    )
