"""How the commands that only look read a sweep."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from search.history import SweepHistory
from search.home import Home
from spaces.errors import Problem, UserError


def existing(folder: Path | None) -> Home:
    """Return a home in which sweeps were submitted, without making one.

    Raises:
        UserError: when there is none: a folder that only looks must not appear because its name was misspelt.
    """
    home = Home.at(folder)
    if home.is_new:
        raise UserError(no_sweeps(home))
    return home


def no_sweeps(home: Home) -> Problem:
    """Return what is said of a home without sweeps."""
    return Problem(
        f"there are no sweeps in {home.root}", hint="start one: lossweep submit examples/scenes.yaml"
    )


def history_of(name: str, home: Home) -> SweepHistory:
    """Read a sweep as it stands.

    Raises:
        UserError: when there is no sweep of that name, with the nearest one.
    """
    from search.ledger import Ledger

    with closing(Ledger(home.database_url)) as ledger:
        return ledger.history(name)


def newest(home: Home) -> str:
    """Return the name of the sweep that was submitted last.

    Raises:
        UserError: when there is none.
    """
    from search.ledger import Ledger

    with closing(Ledger(home.database_url)) as ledger:
        records = ledger.sweeps()
    if not records:
        raise UserError(no_sweeps(home))
    return max(records, key=lambda record: record.created).name
