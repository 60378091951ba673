"""What a schedule is called when many are shown together: its loss family, its colour, its marker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lossweep.spaces.losses.terms import Compound, Loss
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation

ARROW: Final = " → "

COLORS: Final[Mapping[str, str]] = {
    "cross_entropy": "#5c677d",
    "weighted_ce": "#e69f00",
    "focal": "#cc79a7",
    "jaccard": "#009e73",
    "dice": "#56b4e9",
    "tversky": "#d55e00",
    "focal_tversky": "#882255",
    "lovasz": "#0072b2",
    "mcc": "#332288",
    "compound": "#a08a3c",
    "other": "#999999",
}
"""A colour per loss, from the palettes of Okabe and Ito, and of Tol, that the colour-blind can tell apart."""

SHORT: Final[Mapping[str, str]] = {
    "cross_entropy": "CE",
    "weighted_ce": "wCE",
    "focal": "focal",
    "jaccard": "Jaccard",
    "dice": "Dice",
    "tversky": "Tversky",
    "focal_tversky": "fTversky",
    "lovasz": "Lovász",
    "mcc": "MCC",
}
"""Names that fit above a phase of a few epochs."""


def loss_kind(loss: Loss) -> str:
    """Return the loss's term, ``a+b`` for a compound, the import path for a user's own."""
    if isinstance(loss, Compound):
        return "+".join(part.loss.term for part in loss.sum)
    return loss.term


def loss_family(schedule: LossSchedule) -> str:
    """Return the losses of a schedule in order, once each cycle: ``weighted_ce → jaccard``."""
    kinds = [loss_kind(phase.loss) for phase in schedule.phases]
    return ARROW.join(kind for i, kind in enumerate(kinds) if i == 0 or kinds[i - 1] != kind)


def family_color(kind: str) -> str:
    """Return the colour of a `loss_kind`."""
    if "+" in kind:
        return COLORS["compound"]
    return COLORS.get(kind, COLORS["other"])


def short_name(kind: str) -> str:
    """Return a `loss_kind` in a few letters."""
    return "+".join(SHORT.get(part, part.rpartition(":")[2][:12]) for part in kind.split("+"))


def kind_at(schedule: LossSchedule, evaluation: Evaluation) -> str:
    """Return the `loss_kind` that was trained up to an evaluation.

    ``evaluation.phase`` counts on when a schedule goes back or is held in its last phase, hence the bounds.
    """
    phases = schedule.unrolled()
    return loss_kind(phases[min(max(evaluation.phase, 0), len(phases) - 1)].loss)
