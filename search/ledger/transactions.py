"""What the parts of the ledger need of the database: one transaction at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy.orm import Session

T = TypeVar("T")


class Transactions(Protocol):
    """Runs transactions, waiting for an absent database."""

    def do(self, work: Callable[[Session], T]) -> T:
        """Run one transaction and return what ``work`` returned."""
