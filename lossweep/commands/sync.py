"""``lossweep sync``: rebuild MLflow from the study."""

from __future__ import annotations

import typer

from lossweep.commands.arguments import HomeFolder, SweepName


def sync(name: SweepName, home: HomeFolder = None) -> None:
    """Make MLflow equal the study, number by number; the study is the source of truth."""
    from dashboards.sweep_report import SweepReport
    from dashboards.tracking import sync as sync_mlflow
    from lossweep.commands.reading import existing, history_of

    where = existing(home)
    changed = sync_mlflow(
        history_of(name, where), where.mlflow_uri, artifacts=where.artifacts, report=SweepReport(where)
    )
    typer.echo(
        f"{changed} MLflow runs of sweep {name} changed" if changed else f"MLflow equals sweep {name} already"
    )
