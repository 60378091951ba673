"""What several sections show of a trial: its schedule, a coloured tag, its distance to the control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lossweep.dashboards.families import family_color, short_name
from lossweep.dashboards.result import control_label
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.verdicts.sentence import control_side
from lossweep.spaces.losses.terms import family
from lossweep.spaces.schedules.schedule import LossSchedule

_MOST_DOTS: Final = 6


@dataclass(frozen=True, slots=True)
class Dot:
    """A loss as a coloured dot.

    Attributes:
        color: of its family.
        name: in a few letters.
    """

    color: str
    name: str


@dataclass(frozen=True, slots=True)
class ScheduleCell:
    """A schedule in one line.

    Attributes:
        line: the schedule as text.
        control: the control's name; None for a proposal.
        dots: its first losses.
    """

    line: str
    control: str | None
    dots: tuple[Dot, ...]

    @classmethod
    def of(cls, trial: TrialHistory) -> ScheduleCell:
        """Return a trial's schedule."""
        return cls.of_schedule(trial.schedule, trial.control)

    @classmethod
    def of_schedule(cls, schedule: LossSchedule, control: str | None = None) -> ScheduleCell:
        """Return any schedule."""
        kinds = [family(phase.loss) for phase in schedule.phases][:_MOST_DOTS]
        dots = tuple(Dot(family_color(kind), short_name(kind)) for kind in kinds)
        return cls(str(schedule), control, dots)


@dataclass(frozen=True, slots=True)
class Tag:
    """A coloured tag that says how trials ended.

    Attributes:
        outcome: an outcome's name, which gives the colour.
        words: after the count.
        count: how many trials; None for a tag of one.
    """

    outcome: str
    words: str
    count: int | None = None


def control_line(history: SweepHistory) -> str:
    """Return what the control is, and how many were tried on each side; empty without a control."""
    control, tried = history.control(), history.tried()
    if control is None:
        return ""
    side = control_side(tried)
    rivals = f"{tried.schedules} loss schedule{'' if tried.schedules == 1 else 's'}"
    of = f": {side}, against {rivals}" if side else f", against {rivals}"
    return f"Trial {control.number}, {control_label(control)}{of}."


def above(trial: TrialHistory | None, control: TrialHistory | None) -> float | None:
    """Return a trial's score minus the control's; None without both, and for the control itself."""
    if trial is None or control is None or trial is control or trial.score is None or control.score is None:
        return None
    return trial.score - control.score
