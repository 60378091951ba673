"""``lossweep dashboard``: MLflow's pages and the report, in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from lossweep.commands.arguments import WorkspaceFolder


def dashboard(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The sweep's name.", show_default="the newest sweep")
    ] = None,
    optuna: Annotated[
        bool, typer.Option("--optuna", help="Also start optuna-dashboard on the study.")
    ] = False,
    browser: Annotated[bool, typer.Option("--open", help="Open the report in your browser.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; loopback unless told otherwise.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="MLflow's port; 0 for any free one.", show_default="5000, or a free one"),
    ] = None,
    links: Annotated[
        bool, typer.Option("--links", help="Only print where MLflow's pages are; start nothing.")
    ] = False,
    workspace: WorkspaceFolder = None,
) -> None:
    """Start the MLflow UI on the sweep's own store, print the links and serve until Ctrl-C.

    Of a sweep on a cluster the report is served here; MLflow's pages are its own server's there.
    """
    from lossweep.commands.reading import existing, history_of, newest
    from lossweep.dashboards.report.sweep_report import SweepReport
    from lossweep.dashboards.serving.opening import serve_dashboard

    where = existing(workspace)
    sweep = name or newest(where)
    history_of(sweep, where)
    if links:
        typer.echo(f"MLflow:       {mlflow_words(where.mlflow_uri)}")
        return
    serve_dashboard(
        lambda: history_of(sweep, where),
        where.mlflow_uri,
        echo=typer.echo,
        browser=browser,
        database_url=where.database_url,
        host=host,
        port=port,
        optuna=optuna,
        log=where.logs(sweep) / "dashboard.log",
        report=SweepReport(where),
    )


def mlflow_words(uri: str) -> str:
    """Return where the pages of a store are, as far as it has any."""
    from lossweep.search.addresses import is_web, shown, without_user

    return without_user(uri) if is_web(uri) else f"no server; its records are in {shown(uri)}"
