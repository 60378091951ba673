"""One sweep by one arm: what it has spent whenever its incumbent changes; and a file of such runs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution
from search_arms import EPOCHS, OBJECTIVE, ONE_EPOCH, SLOTS, Arm

from lossweep.search.conducting.settings import ControlSearch
from lossweep.search.sampling.cost_aware.drawing import draw
from lossweep.search.simulation.prefix_trainer import trial_plan
from lossweep.search.simulation.sweeps import VEHICLES, simulate_sweep
from lossweep.search.study.events import Event, TrialEnded, TrialEvaluated, TrialStarted
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.proposing.schedule_space import ScheduleSpace, SpaceSpec
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.seeds import short_seed
from lossweep.trainers.scoring.objectives import PILOT, score

if TYPE_CHECKING:  # it pulls torch in
    from lossweep.trainers.trial import TrialTrainer

Noted = Callable[[LossSchedule], float | str]
"""What is noted of an incumbent: what it is truly worth, or what that can be told by."""
Key = tuple[str, str, int, int]
"""A run: its space, arm, seed and number of trials."""


class Meter:
    """Listens to a sweep: what it has trained, what time it is, and what its incumbent is.

    Attributes:
        steps: whenever the incumbent changes: epochs trained so far, seconds, what is noted of it.
        control: what is noted of the best control.
    """

    def __init__(self, noted: Noted) -> None:
        self._noted = noted
        self._clocks: dict[int, float] = {}
        self._best = self._best_control = float("-inf")
        self.control: float | str | None = None
        self.epochs = 0
        self.seconds = 0.0
        self.steps: list[tuple[int, float, float | str]] = []

    def handle(self, event: Event) -> None:
        """Take one event."""
        match event:
            case TrialStarted(trial):
                self._clocks[trial.number] = self.seconds
            case TrialEvaluated(number, evaluation):
                self._clocks[number] += evaluation.seconds
                self.seconds = max(self.seconds, self._clocks[number])
                self.epochs += evaluation.seconds > 0
            case TrialEnded(trial) if trial.outcome is OutcomeKind.COMPLETED and trial.feasible:
                if trial.control is None:
                    self.completed(trial.schedule, trial.score or 0.0)
                elif (trial.score or 0.0) > self._best_control:
                    self._best_control = trial.score or 0.0
                    self.control = self._noted(trial.schedule)

    def completed(self, schedule: LossSchedule, score: float) -> None:
        """A trial has completed."""
        if score > self._best:
            self._best = score
            self.steps.append((self.epochs, round(self.seconds, 2), self._noted(schedule)))

    def close(self) -> None:
        """Nothing is pending."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is searched, whoever searches.

    Attributes:
        space: what may be proposed.
        trainer: how trials go.
        seed: of the search.
        trials: how many.
        control: the search for the best plain cross-entropy; None without one.
        common_seed: whether trials train with one seed; who shares prefixes waits for whoever trains them.
    """

    space: SpaceSpec
    trainer: TrialTrainer
    seed: int
    trials: int
    control: ControlSearch | None = None
    common_seed: bool = True


def search_by(arm: Arm, sweep: Sweep, meter: Meter) -> None:
    """Run one sweep by one arm."""
    if arm.sampler == ONE_EPOCH:
        own = sweep.trials - sweep.trials // 4 if sweep.control else sweep.trials
        one_epoch(sweep, meter, EPOCHS * own)
        return
    simulate_sweep(
        sweep.trials,
        sweep.seed,
        epochs=EPOCHS,
        slots=SLOTS,
        space=sweep.space,
        objective=OBJECTIVE,
        controls={},
        control_search=sweep.control,
        sampler=arm.proposing,
        pruning=arm.pruning,
        trainer=sweep.trainer,
        common_seed=sweep.common_seed,
        refill=arm.refill,
        listeners=[meter],
    )


def one_epoch(sweep: Sweep, meter: Meter, epochs: int) -> None:
    """Train many schedules for an epoch and the best of them on to the end, for so many epochs in all.

    A schedule that is drawn twice is trained once; what that leaves of the budget goes to more of the best.
    """
    best = max(2, epochs // (3 * EPOCHS))
    dice = random.Random(short_seed(sweep.seed, ONE_EPOCH))
    space = ScheduleSpace(sweep.space, EPOCHS, VEHICLES)
    draws = max(best, epochs - best * (EPOCHS - 1))
    drawn: dict[LossSchedule, int] = {}
    for number in range(draws):
        drawn.setdefault(draw(space, lambda name, kind: _even(kind, dice)).schedule, number)
    best += (draws - len(drawn)) // (EPOCHS - 1)
    found = []
    for schedule, number in drawn.items():
        plan = trial_plan(schedule, short_seed(sweep.seed, ONE_EPOCH, number), EPOCHS)
        evaluations = list(sweep.trainer.trial(plan))
        found.append((evaluations[0].metrics.get(PILOT, 0.0), schedule, evaluations))
    meter.epochs, meter.seconds = len(found), len(found) / SLOTS
    for place, (_, schedule, evaluations) in enumerate(sorted(found, key=lambda each: -each[0])[:best]):
        if evaluations[-1].finished and (scored := score(OBJECTIVE, evaluations)) is not None:
            meter.epochs += EPOCHS - 1
            if place % SLOTS == 0:
                meter.seconds += sum(each.seconds for each in evaluations[1:])
            meter.completed(schedule, scored.values[0])


def _even(kind: BaseDistribution, dice: random.Random) -> Any:
    """A value drawn evenly from a distribution, by Optuna's own sampler."""
    sampler = optuna.samplers.RandomSampler(seed=dice.randrange(2**31))
    study = optuna.create_study(sampler=sampler)
    return sampler.sample_independent(study, study.ask(), "value", kind)


def missing(
    out: Path,
    wanted: Sequence[Key],
    run: Callable[[Key], dict[str, Any]],
    valid: Callable[[dict[str, Any]], bool] = lambda row: True,
) -> None:
    """Run what is not in the file yet; every run is a line, written as it ends."""
    done = {(row["space"], row["arm"], row["seed"], row["trials"]) for row in rows(out) if valid(row)}
    with out.open("a", encoding="utf-8") as file:
        for key in wanted:
            if key not in done:
                space, arm, seed, trials = key
                row = {"space": space, "arm": arm, "seed": seed, "trials": trials, **run(key)}
                file.write(json.dumps(row) + "\n")
                file.flush()


def rows(out: Path) -> list[dict[str, Any]]:
    """The runs of a file."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
