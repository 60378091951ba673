"""``lossweep check``: everything that can be wrong with a sweep, before any training."""

from __future__ import annotations

import typer

from lossweep.commands.arguments import Overrides, SweepFile, WorkspaceFolder, parse_overrides


def check(sweep_file: SweepFile, overrides: Overrides = None, workspace: WorkspaceFolder = None) -> None:
    """Check a sweep file, its model and every image and mask; print what the data look like.

    Code that the file names by import path is imported, and so runs: check a stranger's file as you would run
    a stranger's script. Exit code 2 when something has to be mended before the sweep can run.
    """
    from lossweep.dashboards.terminal.console import TerminalConsole
    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.search.workspace import Workspace

    spec = SweepSpec.load(sweep_file, parse_overrides(overrides))
    where = Workspace.at(workspace)

    from lossweep.dashboards.mlflow.address import check_store
    from lossweep.dashboards.terminal.bars import progress_bars
    from lossweep.dashboards.terminal.data_report import print_data_report
    from lossweep.trainers.data.checking.check import check_data

    check_store(where.mlflow_uri)
    with progress_bars() as progress:
        report = check_data(spec.data, where.cache, progress)
    print_data_report(report, TerminalConsole())
    if report.problems:
        raise typer.Exit(2)

    from lossweep.search.running.preflight import check_before_training, check_confirmable
    from lossweep.spaces.class_prior import ClassPrior

    prior = ClassPrior(names=report.classes, frequencies=report.splits[0].fractions)
    evaluated = {split.name: split.sizes for split in report.splits[1:]}
    rehearsed = check_before_training(spec, prior, report.bands, evaluated)
    for suspicion in rehearsed.suspicions:
        typer.echo(f"suspicious: {suspicion}")
    if spec.confirm is not None:
        check_confirmable(sum(split.images for split in report.splits if split.name == "test"))
    typer.echo(f"{sweep_file}: ready to submit")
