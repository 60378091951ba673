"""Whose turn it is: a baseline of the user's, the search for the control, a named one, or a proposal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from lossweep.search.conducting.settings import SearchSettings
from lossweep.spaces.schedules.controls import PLAIN


class TurnKind(Enum):
    """What kind of trial comes next."""

    OWN = auto()
    """A baseline of the user's, as it stands in the sweep file."""
    SEARCHED = auto()
    """Plain cross-entropy, at a rate and shape that the search for the control proposes."""
    NAMED = auto()
    """A named control, at the best rate and shape that the search for the control has found."""
    WARM_START = auto()
    """A former winner, as a proposal."""
    PROPOSAL = auto()
    """A loss schedule that the sampler proposes."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The kind of the next trial, with the name of the control, or the index of the former winner."""

    kind: TurnKind
    name: str | None = None
    index: int | None = None


def next_turn(settings: SearchSettings, started: Sequence[str | None], warmed: int = 0) -> Turn:
    """Return what comes next. It follows from what was started alone, so that resuming goes on the same way.

    The user's baselines come first, then the first of the search for the control, so that the named controls
    start at a rate that suits the data; then former winners, and proposals, among which the rest of the
    control's share is spread, so that no worker waits for either. Named controls take a quarter of a small
    budget at most.

    Args:
        settings: of the search.
        started: the control's name of each trial of the search so far, None for a proposal.
        warmed: how many of the former winners are among them.
    """
    own = next((name for name in settings.controls if name not in started), None)
    if own is not None:
        return Turn(TurnKind.OWN, own)
    search = settings.control_search
    plain = started.count(PLAIN) if search is not None else 0
    if search is not None and plain < search.first(settings.trials):
        return Turn(TurnKind.SEARCHED, PLAIN)
    for name in settings.named[: settings.trials // 4]:
        if name not in started:
            return Turn(TurnKind.NAMED, name)
    if warmed < len(settings.warm_start):
        return Turn(TurnKind.WARM_START, index=warmed)
    if search is not None and plain < min(search.trials(settings.trials), search.share * (len(started) + 1)):
        return Turn(TurnKind.SEARCHED, PLAIN)
    return Turn(TurnKind.PROPOSAL)
