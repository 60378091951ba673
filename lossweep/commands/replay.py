"""``lossweep replay``: train an exported schedule again as in its sweep, and compare."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from lossweep.commands.arguments import WorkspaceFolder


def replay(
    schedule_file: Annotated[
        Path, typer.Argument(metavar="BEST.yaml", help="From lossweep export.", show_default=False)
    ],
    workspace: WorkspaceFolder = None,
) -> None:
    """Train an exported schedule again as in its sweep, from scratch, and say whether it comes out the same.

    On a CPU the validation figures are the same bit for bit; what differs is said, and the exit code is 1.
    The test split is not read.
    """
    from lossweep.commands.reading import existing
    from lossweep.commands.train import evaluation_line
    from lossweep.search.exporting.replay import Replayed, exported_trial
    from lossweep.search.exporting.replay import replay as replayed
    from lossweep.search.ledger import Ledger
    from lossweep.search.running.existing import stored_spec
    from lossweep.spaces.files.errors import Problem, UserError
    from lossweep.spaces.schedules.schedule_file import load_schedule

    exported = load_schedule(schedule_file)
    name = exported.provenance.get("sweep")
    if name is None:
        raise UserError(Problem("which sweep?", file=str(schedule_file), key="provenance", found="no sweep"))
    where = existing(workspace)
    with closing(Ledger(where.database_url, read_only=True)) as ledger:
        spec = stored_spec(ledger.sweep(str(name)))
        history = ledger.history(str(name))
    trial = exported_trial(exported, history)
    then = trial.scored
    assert then is not None
    now = None
    for evaluation in replayed(trial, spec, where, history.data_fingerprint):
        typer.echo(evaluation_line(evaluation))
        now = evaluation if evaluation.step == then.step else None
    result = Replayed(history.metric, then, now)
    typer.echo(str(result))
    if not result.reproduced:
        raise typer.Exit(1)
