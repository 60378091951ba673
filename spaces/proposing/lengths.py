"""How many epochs each phase of a cycle gets, so that all cycles fit a budget; and back."""

from __future__ import annotations


def most_cycles(phases: int, epochs: int) -> int:
    """How many cycles of ``phases`` phases a budget holds when no phase is shorter than one epoch."""
    return epochs // phases


def length_of(share: float, cycle: int, taken: int, after: int) -> int:
    """The epochs of one phase.

    Args:
        share: of the cycle that the phase asks for.
        cycle: epochs of the whole cycle.
        taken: epochs of the phases before it.
        after: how many phases come after it; each is left at least one epoch.

    Returns:
        The nearest whole number of epochs (halves up), at least 1 and at most what the others leave.
    """
    return max(1, min(int(share * cycle + 0.5), cycle - taken - after))
