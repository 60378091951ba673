"""``lossweep resume``: go on with a sweep that was interrupted."""

from __future__ import annotations

from contextlib import closing

import typer

from lossweep.commands.arguments import HomeFolder, Overrides, SweepName, SystemMetrics, parse_overrides


def resume(
    name: SweepName,
    overrides: Overrides = None,
    home: HomeFolder = None,
    system_metrics: SystemMetrics = False,
) -> None:
    """Go on with a sweep: finished trials are kept, unfinished ones go on from their newest checkpoint.

    The budget may be raised: --set budget.trials=32.
    """
    from lossweep.commands.reading import existing
    from search.ledger import Ledger
    from search.submitted import stored_spec, sweep_state
    from search.sweep_spec import SweepSpec
    from spaces.yaml_source import plain_source, validate

    where = existing(home)
    with closing(Ledger(where.database_url)) as ledger:
        spec = stored_spec(ledger.sweep(name))
    if given := parse_overrides(overrides):
        spec = validate(SweepSpec, plain_source(spec.model_dump(mode="json"), name).overridden(given))
    state = sweep_state(where, name, spec)
    if state is not None:
        state.check()
        if state.finished:
            purpose, key = ("give it more", "hours=H") if state.spent else ("add trials", "trials=N")
            again = f"lossweep resume {name} --set budget.{key}"
            typer.echo(f"{state}\nNothing is left to do. To {purpose}: {again}")
            return

    from lossweep.commands.driving import drive

    drive(spec, where, resume=True, system_metrics=system_metrics)
