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

    from dashboards.mlflow_care import run_of
    from dashboards.trial_story import why as story
    from lossweep.commands.reading import existing
    from search.checkpoint_care import checkpoints_of
    from search.ledger import Ledger
    from spaces.errors import UserError

    where = existing(home)
    ledger = Ledger(where.database_url)
    try:
        history = ledger.history(name)
        attempts = ledger.attempts(ledger.sweep(name).id, trial)
    finally:
        ledger.close()
    try:
        run = run_of(history, trial, where.mlflow_uri)
    except UserError as error:  # MLflow is only a view: all else is known
        run = f"not looked up: {error}"
    files = checkpoints_of(where, name, trial)
    Console().print(story(history, trial, attempts=attempts, checkpoints=files, run=run))
