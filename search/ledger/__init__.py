"""The one source of truth: lossweep's tables beside Optuna's study, in one database."""

from lossweep.search.ledger.attempts import Attempt
from lossweep.search.ledger.records import NewSweep, SweepRecord, unreadable
from lossweep.search.ledger.sweeps import Ledger

__all__ = ["Attempt", "Ledger", "NewSweep", "SweepRecord", "unreadable"]
