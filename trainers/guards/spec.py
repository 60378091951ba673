"""Which guards watch a trial, with their thresholds, as plain data."""

from __future__ import annotations

from spaces.loss_terms import Frozen


class GuardSpec(Frozen):
    """Every guard with its thresholds; each may be switched off by giving null."""
