"""A sweep named small in a folder of its own, and the command line there: conftest.py has it as a fixture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from lossweep.search.ledger import Ledger
from lossweep.search.study.history import SweepHistory
from lossweep.search.workspace import Workspace

Run = Callable[..., tuple[int, str, str]]


def recorded(home: Path) -> SweepHistory:
    with closing(Ledger(Workspace.at(home / "runs").database_url)) as ledger:
        return ledger.history("small")
