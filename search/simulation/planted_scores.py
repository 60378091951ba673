"""A trainer with planted truths: what every schedule is worth is known, and so is the noise of its seeds.

For judging verdicts: a real training's true score can only be estimated, this one's can be asked for. A
*world* fixes which losses, rates and shapes are good; plain cross-entropy's best is as good as the best loss
schedule, or worse by a planted number of seed standard deviations.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from lossweep.spaces.losses.terms import family
from lossweep.spaces.schedules.controls import is_plain
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import SHAPES, LossSchedule, Phase
from lossweep.trainers.evaluation import Evaluation, HeldOutScore
from lossweep.trainers.plan import TrialPlan
from lossweep.trainers.scoring.objectives import PILOT
from lossweep.trainers.scoring.operating_points import held_out_metric

TOP: Final = 0.7
"""The best true score of a loss schedule."""
DECADE: Final = 3.0
"""About as measured on small scenes: from 5.6e-3 with a drop to a constant 1e-3, plain cross-entropy lost two
standard deviations over seeds (docs/results.md)."""

# The losses of the preset ``cycling``; any other costs `_OTHER`. Usual rates are logarithms.
_FIRST: Final = ("cross_entropy", "weighted_ce", "focal", "cross_entropy+dice")
_LAST: Final = ("jaccard", "dice", "tversky", "lovasz")
_OTHER: Final = 2.0
_USUAL_FIRST: Final = -3.0
_USUAL_LAST: Final = -4.0


@dataclass(frozen=True, slots=True)
class PlantedScores:
    """A `trainers.trial.TrialTrainer` whose scores are planted.

    A training's score is its schedule's `quality` and its seed's noise, a part of which all schedules with
    that seed have in common: what pairing takes out. Validation and test read the same.

    Attributes:
        world: which losses, rates and shapes are good follows from it.
        advantage: of the best loss schedule over the best plain cross-entropy, in seed standard deviations.
        deviation: over seeds, of a score.
        shared: the part of its variance that schedules trained with the same seed have in common.
        decade: seed standard deviations that a rate costs which is a factor of ten off; a cost grows with the
            square of the distance.
        flat: whether every loss schedule is as good as the best, and so is every plain cross-entropy.
    """

    world: int = 0
    advantage: float = 0.0
    deviation: float = 0.02
    shared: float = 0.25
    decade: float = DECADE
    flat: bool = False

    def quality(self, schedule: LossSchedule) -> float:
        """Return the mean of a schedule's scores over all seeds."""
        world = _World.of(self.world, self.decade)
        lost = 0.0 if self.flat else world.plain(schedule) if is_plain(schedule) else world.lost(schedule)
        return TOP - self.deviation * (lost + self.advantage * is_plain(schedule))

    def score(self, schedule: LossSchedule, seed: int) -> float:
        """Return what one training with this seed comes to."""
        common = random.Random(f"{self.world}/{seed}").gauss(0.0, 1.0)
        own = random.Random(f"{self.world}/{seed}/{schedule.key}").gauss(0.0, 1.0)
        noise = math.sqrt(self.shared) * common + math.sqrt(1.0 - self.shared) * own
        return min(1.0, max(0.0, self.quality(schedule) + self.deviation * noise))

    def prepare(self) -> None:
        """Nothing is to be loaded."""

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Yield an evaluation at each phase's end; the last has the score, those before less of it."""
        final = self.score(plan.schedule, plan.seed)
        cursor = ScheduleCursor.start(plan.schedule, plan.epochs)
        while not cursor.finished:
            phase, index, cycle, epoch = cursor.current, cursor.phase, cursor.cycle, cursor.epoch + 1
            value = final * (0.6 + 0.4 * epoch / plan.epochs)
            metrics = dict.fromkeys((PILOT, "tuned_f1"), value) | {"recall": value}
            cursor = cursor.advance(metrics)
            if cursor.phase_ended or cursor.finished:
                yield Evaluation(
                    step=epoch,
                    epoch=epoch,
                    epochs=plan.epochs,
                    phase=index,
                    cycle=cycle,
                    loss_name=phase.loss_name,
                    learning_rate=phase.learning_rate,
                    metrics=metrics,
                    seconds=1.0 + random.Random(plan.seed).random(),
                    phase_ended=cursor.phase_ended,
                    cycle_ended=cursor.cycle_ended,
                    finished=cursor.finished,
                    held_out=_held_out(plan, metrics, epoch) if cursor.finished else None,
                )


def _held_out(plan: TrialPlan, metrics: Mapping[str, float], step: int) -> HeldOutScore | None:
    if plan.held_out is None:
        return None
    name = held_out_metric(plan.held_out.names[0])
    return HeldOutScore(metrics[name], name, metrics, (0.0,), step)


class _World:
    """What a schedule loses against the best of its kind, in seed standard deviations.

    Each choice costs something of its own, and nothing at its best, so that the best there is is known.
    """

    def __init__(self, number: int, decade: float) -> None:
        self._decade = decade
        dice = random.Random(f"world {number}")
        self._first = {name: abs(dice.gauss(0.0, 1.0)) for name in _FIRST}
        self._last = {name: abs(dice.gauss(0.0, 1.0)) for name in _LAST}
        self._first_rate = {name: dice.uniform(-3.7, -2.3) for name in _FIRST}
        self._last_rate = {name: dice.uniform(-4.7, -3.3) for name in _LAST}
        self._shape: dict[str, float] = {shape: dice.uniform(0.0, 1.0) for shape in SHAPES}
        self._alone = dice.uniform(0.3, 1.0)
        for costs in (self._first, self._last, self._shape):
            least = min(costs.values())
            costs.update({name: cost - least for name, cost in costs.items()})

    @staticmethod
    @lru_cache(maxsize=64)
    def of(number: int, decade: float) -> _World:
        """Return the world with this number."""
        return _World(number, decade)

    def plain(self, schedule: LossSchedule) -> float:
        """What a plain cross-entropy loses: by its rate and shape."""
        first, last = schedule.phases[0], schedule.phases[-1]
        lost = self._off(first, self._first_rate["cross_entropy"])
        return lost + (self._shape[first.shape] if first is last else self._off(last, _USUAL_LAST))

    def lost(self, schedule: LossSchedule) -> float:
        """What a loss schedule loses: by its losses and their rates, and more when it does not switch."""
        first, last = schedule.phases[0], schedule.phases[-1]
        name = family(first.loss)
        lost = self._first.get(name, _OTHER) + self._off(first, self._first_rate.get(name, _USUAL_FIRST))
        if first is last:
            return lost + self._alone + self._shape[first.shape]
        name = family(last.loss)
        return lost + self._last.get(name, _OTHER) + self._off(last, self._last_rate.get(name, _USUAL_LAST))

    def _off(self, phase: Phase, best: float) -> float:
        return self._decade * (math.log10(phase.learning_rate) - best) ** 2
