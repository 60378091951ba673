"""``lossweep why``: everything known of one trial."""

from __future__ import annotations

from typing import Annotated

import typer

from lossweep.commands.arguments import HomeFolder, SweepName


def why(
    name: SweepName,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="The trial's number.", show_default=False)],
    home: HomeFolder = None,
) -> None:
    """Tell what a trial was, each decision about it with its figures, and how it ended."""
    from rich.console import Console

    from dashboards.tables import why as why_table
    from lossweep.commands.reading import history_of
    from search.home import Home
    from spaces.errors import Problem, UserError

    history = history_of(name, Home.at(home))
    if trial not in {known.number for known in history.trials}:
        allowed = f"0 to {len(history.trials) - 1}" if history.trials else "none yet: no trial has started"
        raise UserError(Problem(f"sweep {name} has no such trial", found=str(trial), allowed=allowed))
    Console().print(why_table(history, trial))
