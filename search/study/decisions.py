"""What was decided about a trial, with the figures that were compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision about a trial, with its figures.

    Attributes:
        step: optimizer steps of the trial when it was taken.
        action: ``continue``, ``prune``, ``spare`` (would have been pruned, let go on to audit the pruner),
            ``diverge``, ``retry`` or ``promote``.
        reason: one sentence.
        figures: the numbers compared.
    """

    step: int
    action: str
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)
