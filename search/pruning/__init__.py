"""Relative rules that end trials which are worse than their peers at the same share of the budget."""

from __future__ import annotations

from search.pruning.spec import PruningSpec

__all__ = ["PruningSpec"]
