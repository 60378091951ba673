"""What a loss looks like when many are shown together: its colour, its short name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lossweep.spaces.losses.term import GREY, Term
from lossweep.spaces.losses.terms import KNOWN_TERMS, family
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation

_TERMS: Final[Mapping[str, type[Term]]] = {term.known_as(): term for term in KNOWN_TERMS}
_SUM: Final = "#a08a3c"


def family_color(kind: str) -> str:
    """Return the colour of a `family`.

    They are from the palettes of Okabe and Ito, and of Tol, that the colour-blind can tell apart.
    """
    if "+" in kind:
        return _SUM
    term, _, _ = kind.partition("(")
    return _TERMS[term].color if term in _TERMS else GREY


def short_name(kind: str) -> str:
    """Return a `family` in a few letters."""
    return "+".join(_short(term) for term in kind.split("+"))


def _short(term: str) -> str:
    around, _, within = term.removesuffix(")").partition("(")
    if within:
        return f"{_short(around)} {_short(within)}"
    return _TERMS[term].short_name if term in _TERMS else term.rpartition(":")[2][:12]


def kind_at(schedule: LossSchedule, evaluation: Evaluation) -> str:
    """Return the `family` of the loss that was trained up to an evaluation.

    ``evaluation.phase`` counts on when a schedule goes back or is held in its last phase, hence the bounds.
    """
    phases = schedule.unrolled()
    return family(phases[min(max(evaluation.phase, 0), len(phases) - 1)].loss)
