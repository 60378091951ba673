"""What was decided about a trial, with the figures that were compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Decision(StrEnum):
    """What may be decided about a trial that runs. The text is what stands in the database."""

    CONTINUE = "continue"
    PRUNE = "prune"
    """End it: the pruning rule found it worse than its peers."""
    PAUSE = "pause"
    """Let it wait at its checkpoint: the rule found it worse than its peers so far."""
    THAW = "thaw"
    """Let a paused one go on: its peers have turned out no better."""
    SPARE = "spare"
    """The rule would have it pruned; it goes on, so that the pruner's mistakes can be counted."""
    DIVERGE = "diverge"
    """End it: a guard found that its training diverges."""
    RETRY = "retry"
    """Train it again after a fault from outside; the dispatcher's, all others are the conductor's."""


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision about a trial, with its figures.

    Attributes:
        step: optimizer steps of the trial when it was taken.
        action: what was decided.
        reason: one sentence.
        figures: the numbers compared.
    """

    step: int
    action: Decision
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)
