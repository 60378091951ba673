"""``lossweep submit``: run a sweep file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import HomeFolder, Overrides, SweepFile, SystemMetrics, parse_overrides

if TYPE_CHECKING:
    from search.submitted import SweepState


def submit(
    sweep_file: SweepFile,
    name: Annotated[
        str | None, typer.Option("--name", help="Another name than the file's.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    home: HomeFolder = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Go on with an unfinished sweep unasked.")] = False,
    system_metrics: SystemMetrics = False,
) -> None:
    """Run the sweep of a file, here and now: check it, train its trials, record everything.

    Ctrl-C once finishes the running evaluations and keeps everything; `lossweep resume NAME` goes on.
    """
    from search.home import Home
    from search.sweep_spec import SweepSpec

    given = parse_overrides(overrides) | ({"name": name} if name else {})
    spec = SweepSpec.load(sweep_file, given)
    where = Home.at(home)

    from search.submitted import sweep_state

    state = sweep_state(where, spec.name, spec)
    if state is not None:
        _agree(state, yes)

    from lossweep.commands.driving import drive

    drive(spec, where, resume=state is not None, system_metrics=system_metrics)


def _agree(state: SweepState, yes: bool) -> None:
    """Ask whether to go on with a sweep that exists; raises when it can't, or nobody is there to answer."""
    import sys

    from spaces.errors import Problem, UserError

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
