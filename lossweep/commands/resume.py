"""``lossweep resume``: go on with a sweep that was interrupted."""

from __future__ import annotations

from contextlib import closing

import typer

from lossweep.commands.arguments import (
    JsonLog,
    MetricsPort,
    Overrides,
    RetryFailed,
    SweepName,
    SystemMetrics,
    WorkspaceFolder,
    parse_overrides,
)
from lossweep.commands.service import Cluster


def resume(
    name: SweepName,
    overrides: Overrides = None,
    retry_failed: RetryFailed = False,
    workspace: WorkspaceFolder = None,
    system_metrics: SystemMetrics = False,
    metrics_port: MetricsPort = None,
    json_log: JsonLog = False,
    cluster: Cluster = None,
) -> None:
    """Go on with a sweep: finished trials are kept, unfinished ones go on from their newest checkpoint.

    The budget may be raised: --set budget.trials=32. Failed trials stay failed; with --retry-failed each is
    tried again as a new trial of the same schedule and seed.
    """
    from lossweep.commands.reading import existing
    from lossweep.search.ledger import Ledger
    from lossweep.search.running.existing import existing_sweep, stored_spec
    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.spaces.files.yaml_source import plain_source, validate

    where = existing(workspace)
    with closing(Ledger(where.database_url)) as ledger:
        spec = stored_spec(ledger.sweep(name))
    if given := parse_overrides(overrides):
        spec = validate(SweepSpec, plain_source(spec.model_dump(mode="json"), name).overridden(given))
    state = existing_sweep(where, name, spec, retry_failed=retry_failed)
    if state is not None:
        state.check()
        if state.finished:
            purpose, key = ("give it more", "hours=H") if state.spent else ("add trials", "trials=N")
            again = f"lossweep resume {name} --set budget.{key}"
            typer.echo(f"{state}\nNothing is left to do. To {purpose}: {again}")
            if state.failed and not state.spent:
                typer.echo(f"To try what failed again: lossweep resume {name} --retry-failed")
            return

    from lossweep.commands.driving import drive

    drive(
        spec,
        where,
        resume=True,
        system_metrics=system_metrics,
        metrics_port=metrics_port,
        json_log=json_log,
        retry_failed=retry_failed,
        cluster=cluster,
    )
