"""``lossweep suite``: the same search over several data sets, and which losses do well on all of them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import Output, RetryFailed, WorkspaceFolder, check_output, write_output

if TYPE_CHECKING:
    from lossweep.search.study.history import SweepHistory
    from lossweep.search.workspace import Workspace


def suite(
    suite_file: Annotated[
        Path, typer.Argument(metavar="SUITE.yaml", help="The suite file.", show_default=False)
    ],
    output: Output = None,
    table_only: Annotated[
        bool, typer.Option("--table", help="Train nothing: show what there is so far.")
    ] = False,
    workspace: WorkspaceFolder = None,
    retry_failed: RetryFailed = False,
) -> None:
    """Search the same space on several data sets, one after another, and put the results in one table.

    Sweeps that are finished are not run again and unfinished ones go on, so the same command goes on where
    the suite stopped. With --output the table is also written as a page.
    """
    from lossweep.dashboards.comparison.page import suite_page
    from lossweep.dashboards.comparison.suite import suite_result
    from lossweep.dashboards.terminal.console import TerminalConsole
    from lossweep.dashboards.terminal.suite import SuiteTable
    from lossweep.search.suite_spec import load_suite
    from lossweep.search.workspace import Workspace
    from lossweep.spaces.files.errors import Problem, UserError

    if output is not None:
        check_output(output)
    where = Workspace.at(workspace)
    name, sweeps = load_suite(suite_file)
    console = TerminalConsole()
    if not table_only:
        from lossweep.commands.driving import drive
        from lossweep.search.running.existing import existing_sweep

        states = [existing_sweep(where, spec.name, spec, retry_failed=retry_failed) for spec in sweeps]
        for state in states:
            if state is not None and not state.finished:
                state.check()
        for index, (spec, state) in enumerate(zip(sweeps, states, strict=True), 1):
            if state is not None and state.finished:
                continue
            typer.echo(f"{spec.name}: sweep {index} of {len(sweeps)}")
            drive(spec, where, resume=state is not None, retry_failed=retry_failed)
            typer.echo()
    histories = _recorded(tuple(spec.name for spec in sweeps), where)
    if not histories:
        hint = f"run it: lossweep suite {suite_file}"
        raise UserError(Problem(f"no sweep of suite {name} has begun", hint=hint))
    result = suite_result(name, histories)
    if not table_only:
        from lossweep.dashboards.mlflow.suite import log_suite

        log_suite(
            name, result.sweeps, result.sentence(), suite_page(result), result.figures, where.mlflow_uri
        )
    console.print(SuiteTable(result))
    if output is not None:
        write_output(output, suite_page(result))
        typer.echo(f"wrote {output}")


def _recorded(names: tuple[str, ...], workspace: Workspace) -> tuple[SweepHistory, ...]:
    """Those of the sweeps that have begun."""
    from lossweep.search.ledger import Ledger

    if workspace.is_new:
        return ()
    with closing(Ledger(workspace.database_url, read_only=True)) as ledger:
        return tuple(ledger.history(name) for name in names if ledger.find(name) is not None)
