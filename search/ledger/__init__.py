"""The one source of truth: lossweep's tables beside Optuna's study, in one database."""

from search.ledger.sweeps import Attempt, Ledger, NewSweep, SweepRecord, unreadable

__all__ = ["Attempt", "Ledger", "NewSweep", "SweepRecord", "unreadable"]
