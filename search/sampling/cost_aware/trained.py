"""What a study's trials have trained, as far as a proposal could go on from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from lossweep.search.sampling.cost_aware.drawing import Drawn, Suggesting, Unanswered, draw, known
from lossweep.search.study.record import PAUSED
from lossweep.spaces.schedules.common_prefix import common_epochs
from lossweep.spaces.schedules.schedule import LossSchedule, Phase

FEW = 4
"""From fewer trials nothing is foreseen."""


@dataclass(slots=True)
class _Training:
    """What a trial trains, and for how many epochs it has; 0 while it runs."""

    drawn: Drawn
    epochs: int = 0


class Trained:
    """The trainings of a study, read once each.

    A trial reports its steps, not its epochs: that one which ended early has trained its share of the steps
    of those that have trained to the end.

    Args:
        space: turns parameters into schedules; trials of schedules outside of it are left out.
    """

    def __init__(self, space: Suggesting) -> None:
        self._space = space
        self._trainings: dict[int, _Training] = {}
        self._alike: defaultdict[tuple[Phase, ...], list[_Training]] = defaultdict(list)
        self._known: set[LossSchedule] = set()
        self._open: dict[int, bool] = {}
        self._size = 0
        self._most_steps = 0
        self._short: dict[int, int] = {}
        """Steps of the trials that ended early."""

    def read(self, trials: Sequence[FrozenTrial], own: int) -> None:
        """Take in what was proposed and what has ended since; ``own`` is the trial that is being proposed."""
        for trial in (*[trials[number] for number in self._open], *trials[self._size :]):
            if trial.number == own:
                continue
            if trial.number not in self._trainings and trial.params:
                self._enter(trial)
            if trial.state.is_finished():
                self._end(trial)
            if trial.state.is_finished() and PAUSED not in trial.system_attrs:
                self._open.pop(trial.number, None)
            else:
                self._open[trial.number] = True
        self._open[own] = True
        self._size = len(trials)
        for number, steps in self._short.items():
            if number in self._trainings and self._most_steps:
                training = self._trainings[number]
                training.epochs = int(training.drawn.schedule.budget * steps / self._most_steps)

    def drawn(self, number: int) -> Drawn | None:
        """The schedule of a trial with its parameters; None when it is not of the space."""
        training = self._trainings.get(number)
        return None if training is None else training.drawn

    def holds(self, schedule: LossSchedule) -> bool:
        """Whether this schedule was proposed already: with the same seed it would tell nothing."""
        return schedule in self._known

    def prefix(self, schedule: LossSchedule) -> int:
        """How many of a schedule's epochs need not be trained again."""
        found = 0
        for training in self._alike.get(_start(schedule), ()):
            if training.epochs > found:
                common = common_epochs(schedule, training.drawn.schedule)
                found = max(found, min(common, training.epochs))
        return min(found, schedule.budget - 1)

    def to_come(self, schedule: LossSchedule, start: int) -> float:
        """How many epochs a training that stands at ``start`` will train still, before it ends or is ended.

        The mean of those that came further; the rest of the budget as long as there are few.
        """
        rest = schedule.budget - start
        further = [t.epochs - start for t in self._trainings.values() if t.epochs > start]
        return sum(further) / len(further) if len(further) >= FEW else float(rest)

    def _enter(self, trial: FrozenTrial) -> None:
        try:
            drawn = draw(self._space, known(trial.params))
        except Unanswered:
            return  # a control outside of the space, or of a search of its own
        training = self._trainings[trial.number] = _Training(drawn)
        self._alike[_start(drawn.schedule)].append(training)
        self._known.add(drawn.schedule)

    def _end(self, trial: FrozenTrial) -> None:
        steps = max(trial.intermediate_values, default=0)
        if trial.state is TrialState.PRUNED:
            self._short[trial.number] = steps
        elif trial.state is TrialState.COMPLETE:
            self._short.pop(trial.number, None)  # it was paused
            self._most_steps = max(self._most_steps, steps)
            if trial.number in self._trainings:
                self._trainings[trial.number].epochs = self._trainings[trial.number].drawn.schedule.budget


def _start(schedule: LossSchedule) -> tuple[Phase, ...]:
    """What trainings that begin alike have in common: the first phase, but for its length."""
    return (schedule.phases[0].model_copy(update={"epochs": 1, "until": None}),)
