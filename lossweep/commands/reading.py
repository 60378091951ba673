"""How the commands that only look read a sweep."""

from __future__ import annotations

from search.history import SweepHistory
from search.home import Home
from spaces.errors import Problem, UserError


def history_of(name: str, home: Home) -> SweepHistory:
    """Read a sweep as it stands.

    Raises:
        UserError: when there is no sweep of that name, with the nearest one.
    """
    from search.ledger import Ledger

    ledger = Ledger(home.database_url)
    try:
        return ledger.history(name)
    finally:
        ledger.close()


def newest(home: Home) -> str:
    """Return the name of the sweep that was submitted last.

    Raises:
        UserError: when there is none.
    """
    from search.ledger import Ledger

    ledger = Ledger(home.database_url)
    try:
        records = ledger.sweeps()
    finally:
        ledger.close()
    if not records:
        hint = "start one: lossweep submit examples/scenes.yaml"
        raise UserError(Problem(f"there are no sweeps in {home.root}", hint=hint))
    return max(records, key=lambda record: record.created).name
