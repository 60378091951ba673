"""``lossweep logs``: what the driver of a sweep says."""

from __future__ import annotations

from typing import Annotated

import typer

from lossweep.commands.arguments import SweepName, WorkspaceFolder
from lossweep.commands.service import Cluster, ProfileName, follow


def logs(
    name: SweepName,
    keep_on: Annotated[bool, typer.Option("--follow", "-f", help="Stay, and show what is added.")] = False,
    workspace: WorkspaceFolder = None,
    cluster: Cluster = None,
    profile: ProfileName = None,
) -> None:
    """Print the log of a sweep's newest driver: on a cluster its job's lines, here its log file."""
    from lossweep.search.service.address import find_service
    from lossweep.search.service.jobs import Jobs
    from lossweep.spaces.files.errors import Problem, UserError, visible_lines

    service = find_service(cluster, profile)
    if service is None:
        _print_file(name, workspace, keep_on)
        return
    jobs = Jobs(service)
    job = jobs.driver_of(name)
    if job is None:
        hint = f"lossweep list{service.words}"
        raise UserError(Problem(f"{service} knows no job of a sweep named {name}", hint=hint))
    if keep_on:
        follow(jobs, job, name, service)
    else:
        typer.echo(visible_lines(jobs.log(job).rstrip("\n")))


def _print_file(name: str, workspace: object, keep_on: bool) -> None:
    import time
    from pathlib import Path

    from lossweep.commands.reading import existing, history_of
    from lossweep.search.study.sweep_state import SweepState
    from lossweep.spaces.files.errors import Problem, UserError, visible_lines

    assert workspace is None or isinstance(workspace, Path)
    where = existing(workspace)
    running = history_of(name, where).state is SweepState.RUNNING
    path = where.logs(name) / "driver.log"
    try:
        file = path.open(encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UserError(Problem(f"no driver has logged here: {error.strerror}", str(path))) from None
    with file:
        while True:
            if text := file.read().rstrip("\n"):
                typer.echo(visible_lines(text))
            if not (keep_on and running):
                return
            time.sleep(1.0)
            running = history_of(name, where).state is SweepState.RUNNING
