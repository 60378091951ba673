"""Relative rules that end trials which are worse than their peers at the same share of the budget."""

from __future__ import annotations

from search.pruning.audit import PrunerAudit, audit, spared
from search.pruning.pruner import Pruner
from search.pruning.spec import PruningSpec

__all__ = ["Pruner", "PrunerAudit", "PruningSpec", "audit", "spared"]
