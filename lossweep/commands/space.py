"""``lossweep space``: what a sweep may propose."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lossweep.commands.arguments import Overrides, SweepFile, WorkspaceFolder, parse_overrides


def space(
    sweep_file: SweepFile,
    sample: Annotated[int, typer.Option(min=1, max=1000, help="How many schedules to draw.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    overrides: Overrides = None,
    workspace: WorkspaceFolder = None,
) -> None:
    """Draw schedules from the space of a sweep file, one line each, after its controls."""
    import optuna

    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.search.workspace import Workspace
    from lossweep.spaces.proposing.schedule_space import ScheduleSpace
    from lossweep.spaces.schedules.controls import controls
    from lossweep.trainers.data.loading import load_data

    spec = SweepSpec.load(sweep_file, parse_overrides(overrides))
    prior = load_data(spec.data, Workspace.at(workspace).cache).prior
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    schedules = ScheduleSpace(spec.space, spec.budget.epochs, prior)
    for name, control in controls(spec.budget.epochs, prior).items():
        typer.echo(f"{name}: {control}")
    for _ in range(sample):
        trial: Any = study.ask()  # its overloads of suggest_categorical are narrower than a space needs
        typer.echo(str(schedules.suggest(trial)))
