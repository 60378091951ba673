"""How the commands that only look read a sweep."""

from __future__ import annotations

import os
import shlex
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from lossweep.search.service.messages import CLIENT_WORDS
from lossweep.search.study.history import SweepHistory
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import Problem, UserError

if TYPE_CHECKING:
    from lossweep.search.sweep_spec import SweepSpec


def existing(folder: Path | None) -> Workspace:
    """Return a workspace in which sweeps were submitted, without making one.

    Raises:
        UserError: when there is none: a folder that only looks must not appear because its name was misspelt.
    """
    workspace = Workspace.at(folder)
    if workspace.is_new:
        raise UserError(no_sweeps(workspace))
    return workspace


def home_words(workspace: Workspace) -> str:
    """Return what a command needs to find this home again: nothing, or its option, or its client's."""
    if (words := os.environ.get(CLIENT_WORDS)) is not None:
        return words
    return "" if workspace.root == Workspace.at().root else f" --home {shlex.quote(str(workspace.root))}"


def no_sweeps(workspace: Workspace) -> Problem:
    """Return what is said of a workspace without sweeps."""
    return Problem(
        f"there are no sweeps in {workspace.root}", hint="start one: lossweep submit examples/scenes.yaml"
    )


def history_of(name: str, workspace: Workspace) -> SweepHistory:
    """Read a sweep as it stands.

    Raises:
        UserError: when there is no sweep of that name, with the nearest one.
    """
    from lossweep.search.ledger import Ledger

    with closing(Ledger(workspace.database_url, read_only=True)) as ledger:
        return ledger.history(name)


def spec_of(name: str, workspace: Workspace) -> SweepSpec:
    """Read a sweep's file as it was submitted.

    Raises:
        UserError: when there is no sweep of that name.
    """
    from lossweep.search.ledger import Ledger
    from lossweep.search.running.existing import stored_spec

    with closing(Ledger(workspace.database_url, read_only=True)) as ledger:
        return stored_spec(ledger.sweep(name))


def opened(name: str, workspace: Workspace) -> tuple[SweepSpec, SweepHistory]:
    """Read a sweep that is to be gone on with: its file as it was submitted, and how it stands.

    Raises:
        LeaseHeld: when a living driver has it.
        UserError: when there is no sweep of that name, or it cannot be read.
    """
    from lossweep.search.ledger import Ledger
    from lossweep.search.running.existing import existing_sweep, stored_spec

    with closing(Ledger(workspace.database_url)) as ledger:
        spec = stored_spec(ledger.sweep(name))
        history = ledger.history(name)
    state = existing_sweep(workspace, name)
    assert state is not None
    state.check()
    return spec, history


def newest(workspace: Workspace) -> str:
    """Return the name of the sweep that was submitted last.

    Raises:
        UserError: when there is none.
    """
    from lossweep.search.ledger import Ledger

    with closing(Ledger(workspace.database_url, read_only=True)) as ledger:
        names = ledger.names()
    if not names:
        raise UserError(no_sweeps(workspace))
    return names[-1]
