"""``lossweep gc``: free the disk of checkpoints that nobody needs."""

from __future__ import annotations

from typing import Annotated

import typer

from lossweep.commands.arguments import SweepName, WorkspaceFolder


def gc(
    name: SweepName,
    leaders: Annotated[int, typer.Option(min=0, help="So many of the best trials keep theirs.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    workspace: WorkspaceFolder = None,
) -> None:
    """Delete the checkpoints that no unfinished trial, no leader and no control needs."""
    from lossweep.commands.reading import existing
    from lossweep.search.upkeep.checkpoints import gc as collect

    cleared = collect(existing(workspace), name, leaders=leaders, dry_run=dry_run)
    typer.echo(f"{'would delete' if dry_run else 'deleted'} {cleared}")
