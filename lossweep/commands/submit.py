"""``lossweep submit``: run a sweep file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import (
    JsonLog,
    MetricsPort,
    Overrides,
    RetryFailed,
    SweepFile,
    SystemMetrics,
    WorkspaceFolder,
    parse_overrides,
)
from lossweep.commands.service import Cluster

if TYPE_CHECKING:
    from lossweep.search.running.existing import ExistingSweep
    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.search.workspace import Workspace


def submit(
    sweep_file: SweepFile,
    name: Annotated[
        str | None, typer.Option("--name", help="Another name than the file's.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    warm_start: Annotated[
        list[str] | None,
        typer.Option(
            "--warm-start",
            metavar="BEST.yaml|SWEEP",
            help="Try a former winner before the sampler proposes: an exported schedule, or another sweep's "
            "best. May be repeated.",
            show_default=False,
        ),
    ] = None,
    workspace: WorkspaceFolder = None,
    retry_failed: RetryFailed = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would cost; nothing is started or recorded.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Go on with an unfinished sweep unasked.")] = False,
    system_metrics: SystemMetrics = False,
    metrics_port: MetricsPort = None,
    json_log: JsonLog = False,
    cluster: Cluster = None,
) -> None:
    """Run the sweep of a file, here and now: check it, train its trials, record everything.

    Ctrl-C once finishes the running evaluations and keeps everything; `lossweep resume NAME` goes on.
    """
    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.search.workspace import Workspace

    where = Workspace.at(workspace)
    given = parse_overrides(overrides) | ({"name": name} if name else {})
    if warm_start:
        given["warm_start"] = [_former_winner(each, where) for each in warm_start]
    spec = SweepSpec.load(sweep_file, given)

    if dry_run:
        _say_what_it_costs(spec, where)
        return

    from lossweep.search.running.existing import existing_sweep

    state = existing_sweep(where, spec.name, spec, retry_failed=retry_failed)
    if state is not None:
        _agree(state, yes)

    from lossweep.commands.driving import drive

    drive(
        spec,
        where,
        resume=state is not None,
        system_metrics=system_metrics,
        metrics_port=metrics_port,
        json_log=json_log,
        retry_failed=retry_failed,
        cluster=cluster,
    )


def _say_what_it_costs(spec: SweepSpec, workspace: Workspace) -> None:
    """Check the sweep as it would be before it starts, simulate it, and measure how fast a trial trains."""
    from lossweep.search.running.task import segmentation
    from lossweep.search.simulation.forecast import calibrated, forecast
    from lossweep.trainers.visible_gpus import hide_gpus

    if spec.resources.gpus_per_trial == 0:
        hide_gpus()
    task = segmentation(spec, workspace)
    expected = forecast(spec, task.prior)
    typer.echo(str(expected))
    measured, parallel = calibrated(spec, task), spec.resources.parallel or 1
    hours = measured.hours(expected.trained)
    beside = f", {hours / parallel:.2g} with {parallel} side by side" if parallel > 1 else ""
    typer.echo(f"  hours         about {hours:.2g} of one worker{beside}, without evaluations:")
    typer.echo(f"                {measured}")
    typer.echo("Nothing was started.")


def _former_winner(named: str, workspace: Workspace) -> dict[str, object]:
    """The schedule of a file, or the best one of another sweep, as a sweep file holds it."""
    from pathlib import Path

    from lossweep.commands.reading import history_of
    from lossweep.spaces.files.errors import Problem, UserError
    from lossweep.spaces.schedules.schedule_file import load_schedule

    if Path(named).suffix in (".yaml", ".yml", ".json"):
        return load_schedule(named).schedule.plain()
    if workspace.is_new:
        raise UserError(Problem("there is no such sweep", key="--warm-start", found=named))
    former = history_of(named, workspace).contender()
    if former is None:
        raise UserError(Problem(f"no trial of sweep {named} has completed yet", key="--warm-start"))
    return former.schedule.plain()


def _agree(state: ExistingSweep, yes: bool) -> None:
    """Ask whether to go on with a sweep that exists; raises when it can't, or nobody is there to answer."""
    import sys

    from lossweep.spaces.files.errors import Problem, UserError

    name = state.name
    if state.finished:
        hint = "choose another: --name NEW, or see what it found: lossweep status " + name
        raise UserError(Problem("this name is taken", key="name", found=str(state), hint=hint))
    state.check()
    if yes:
        return
    if not sys.stdin.isatty():
        hint = f"go on with it: lossweep submit --yes, or lossweep resume {name}; or give --name NEW"
        raise UserError(Problem(str(state), hint=hint))
    typer.echo(str(state))
    if not typer.confirm("Go on with it?"):
        raise typer.Exit(0)
