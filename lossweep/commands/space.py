"""``lossweep space``: what a sweep may propose."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lossweep.commands.arguments import HomeFolder, Overrides, SweepFile, parse_overrides


def space(
    sweep_file: SweepFile,
    sample: Annotated[int, typer.Option(min=1, max=1000, help="How many schedules to draw.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    overrides: Overrides = None,
    home: HomeFolder = None,
) -> None:
    """Draw schedules from the space of a sweep file, one line each, after its controls."""
    import optuna

    from search.home import Home
    from search.sweep_spec import SweepSpec
    from spaces.controls import controls
    from spaces.schedule_space import ScheduleSpace
    from trainers.data.loading import load_data

    spec = SweepSpec.load(sweep_file, parse_overrides(overrides))
    prior = load_data(spec.data, Home.at(home).cache).prior
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    schedules = ScheduleSpace(spec.space, spec.budget.epochs, prior)
    for name, control in controls(spec.budget.epochs, prior).items():
        typer.echo(f"{name}: {control}")
    for _ in range(sample):
        trial: Any = study.ask()  # its overloads of suggest_categorical are narrower than a space needs
        typer.echo(str(schedules.suggest(trial)))
