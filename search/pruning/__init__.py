"""Relative rules that end trials which are worse than their peers at the same share of the budget."""

from __future__ import annotations

from lossweep.search.pruning.audit import PrunerAudit, audit, spared
from lossweep.search.pruning.pruner import Pruner
from lossweep.search.pruning.spec import PruningSpec

__all__ = ["Pruner", "PrunerAudit", "PruningSpec", "audit", "spared"]
