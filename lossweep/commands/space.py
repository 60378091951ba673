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
    from lossweep.spaces.files.errors import one_line
    from lossweep.spaces.proposing.control_space import ControlSpace, control_rates
    from lossweep.spaces.proposing.schedule_space import ScheduleSpace
    from lossweep.spaces.schedules.controls import PLAIN, named_controls
    from lossweep.trainers.data.loading import load_data

    spec = SweepSpec.load(sweep_file, parse_overrides(overrides))
    prior = load_data(spec.data, Workspace.at(workspace).cache).prior
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    schedules = ScheduleSpace(spec.space, spec.budget.epochs, prior)
    controls, epochs = spec.controls, spec.budget.epochs
    rates = controls.learning_rate or control_rates(spec.space)
    starts = list(ControlSpace(rates, epochs, prior, controls.shapes, controls.warmup_steps).starts())
    if controls.search:
        for start in starts[: controls.at_least]:
            typer.echo(f"{PLAIN}, among others: {start}")
    for name, schedule in controls.baselines.items():
        typer.echo(one_line(f"{name}: {schedule}"))
    for name, schedule in named_controls(starts[0], epochs).items():
        if name in controls.named:
            typer.echo(f"{name}, at the rate that will be found for {PLAIN}: {schedule}")
    for _ in range(sample):
        trial: Any = study.ask()  # its overloads of suggest_categorical are narrower than a space needs
        typer.echo(str(schedules.suggest(trial)))
