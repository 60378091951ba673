"""What a simulated training does: curves by formula, of losses that differ as real ones do.

A course has a *ranking* quality, which AP and everything tuned follow, and an *operating point*, which moves
precision against recall at 0.5 with hardly any effect on the ranking. Losses differ in speed, in ceiling, in
the learning rate they like and in where they put the operating point; region losses stall when started from
scratch and go highest when started from a good ranking, so that schedules matter and curves cross. Too large
a learning rate diverges.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lossweep.spaces.losses.ramp import fixed
from lossweep.spaces.losses.terms import Compound, FrequencyWeights, Loss
from lossweep.spaces.metric_names import parametric_name
from lossweep.spaces.metrics import SIZES
from lossweep.spaces.schedules.schedule import Phase
from lossweep.trainers.evaluation import GuardVerdict
from lossweep.trainers.plan import TrialPlan


@dataclass(frozen=True, slots=True)
class _Family:
    """A loss: log10 of its best learning rate, its speed, its ceiling in AP, its push towards recall."""

    rate: float
    speed: float
    ceiling: float
    push: float
    needs_start: float = 0.0


_FAMILIES: Final[Mapping[str, _Family]] = {
    "cross_entropy": _Family(-2.5, 0.45, 0.62, -0.8),
    "weighted_ce": _Family(-2.5, 0.55, 0.66, 1.6),
    "focal": _Family(-2.3, 0.40, 0.72, 0.3),
    "jaccard": _Family(-3.0, 0.40, 0.84, -0.4, needs_start=0.5),
    "dice": _Family(-3.0, 0.42, 0.80, -0.2, needs_start=0.45),
    "tversky": _Family(-2.9, 0.42, 0.79, 0.8, needs_start=0.45),
    "focal_tversky": _Family(-2.9, 0.35, 0.81, 0.9, needs_start=0.5),
    "lovasz": _Family(-3.2, 0.35, 0.85, 0.0, needs_start=0.55),
    "mcc": _Family(-3.0, 0.38, 0.80, 0.0, needs_start=0.5),
}
_IMPORTED: Final = _Family(-2.7, 0.4, 0.7, 0.0)
_MIDDLE: Final = 0.75
"""About the middle of the ceilings: `Curves.spread` leaves it where it is."""


@dataclass(frozen=True, slots=True)
class Curves:
    """How all courses go; at its defaults, as `SimulatedTrainer`'s.

    Attributes:
        speed: a factor on how fast every course approaches its ceiling.
        spread: a factor on how far the ceilings of losses and rates lie apart.
        haste: 0, or how far early rank misleads: with more, a higher rate rises faster and ends lower.
        plain: the ceiling of plain cross-entropy, if another.
    """

    speed: float = 1.0
    spread: float = 1.0
    haste: float = 0.0
    plain: float | None = None


class Course:
    """The course of one trial: its ranking quality, its operating point, and whether it has diverged.

    Attributes:
        dice: what the next epoch's randomness is drawn from; may be set from epoch to epoch.
        offset: what is added to the ranking quality as it is measured.
        threshold: the tuned one, as a logit.
    """

    def __init__(
        self, dice: random.Random, noise: float, doomed: bool = False, curves: Curves = Curves()
    ) -> None:
        self.dice = dice
        self.offset = 0.0
        self._curves = curves
        self._noise = noise
        self._doomed = doomed
        self._quality = 0.02 + 0.02 * dice.random()
        self._push = 0.0
        self._phase = -1
        self._start = self._quality
        self._diverged = False
        self.threshold = 0.0

    def epoch(self, phase: Phase, index: int, plan: TrialPlan) -> dict[str, float]:
        """Train an epoch and return the metrics."""
        if index != self._phase:
            self._phase, self._start = index, self._quality
        family = behavior(phase.loss)
        off = math.log10(phase.learning_rate) - family.rate
        hazard = self.hazard(phase)
        if (hazard and self.dice.random() < hazard) or self._doomed:
            self._diverged = True
        curves = self._curves
        ceiling = _MIDDLE + curves.spread * (family.ceiling - _MIDDLE)
        if curves.plain is not None and _name(phase.loss) == "cross_entropy":
            ceiling = curves.plain
        if family.needs_start:
            ceiling *= 0.55 + 0.45 * min(1.0, self._start / family.needs_start)
        ceiling *= 1.0 - 0.12 * curves.spread * max(0.0, off)
        speed = curves.speed * family.speed * math.exp(-0.5 * (off / 0.6) ** 2)
        if curves.haste:
            ceiling *= 1.0 - curves.haste * _sigmoid(6.0 * (off + 0.4))
            speed = curves.speed * family.speed * math.exp(min(1.2, 1.5 * (off + 0.2)))
        # A lower ceiling does not pull a good ranking down by much: the model forgets slowly.
        pull = speed if ceiling > self._quality else 0.1 * speed
        self._quality += (ceiling - self._quality) * (1.0 - math.exp(-pull))
        self._push += (family.push - self._push) * (1.0 - math.exp(-2.0 * speed))
        if self._diverged:
            self._quality *= 0.15
            self._push = 8.0
        self.threshold = self._push
        return self._metrics(plan)

    @staticmethod
    def hazard(phase: Phase) -> float:
        """The chance of an epoch to diverge in."""
        return 0.5 * max(0.0, math.log10(phase.learning_rate) - behavior(phase.loss).rate - 1.0)

    def floor_thresholds(self, plan: TrialPlan, best: float) -> dict[str, float]:
        """As far from the tuned threshold as the floor is from what precision and recall both are there."""
        if len(plan.data.classes) > 2:
            return {}
        floors = (*plan.measure.precision_floors, *plan.measure.recall_floors)
        away = {floor: _logit(_within(floor)) - _logit(best) for floor in floors}
        return {
            parametric_name("recall_at_precision", floor): self.threshold + away[floor]
            for floor in plan.measure.precision_floors
        } | {
            parametric_name("precision_at_recall", floor): self.threshold - away[floor]
            for floor in plan.measure.recall_floors
        }

    def loss(self) -> float:
        """A training loss; of no use for comparing."""
        return 1.0 - 0.9 * self._quality

    def verdict(self, step: int, phase: int) -> GuardVerdict | None:
        """The guard's verdict, once the trial has diverged."""
        if not self._diverged:
            return None
        message = f"recall 1.000 while AP fell to {self._quality:.3f}"
        figures = {"recall": 1.0, "ap": self._quality, "loss": math.inf}
        return GuardVerdict("all_foreground", step, phase, message, figures)

    def _metrics(self, plan: TrialPlan) -> dict[str, float]:
        classes = plan.data.classes[1:]
        if len(classes) == 1:
            return self._figures(plan, 0.0)
        each = {name: self._figures(plan, -0.06 * rank) for rank, name in enumerate(classes)}
        names = each[classes[0]]
        macro = {name: sum(of[name] for of in each.values()) / len(each) for name in names}
        return macro | {f"{name}/{c}": value for c, of in each.items() for name, value in of.items()}

    def _figures(self, plan: TrialPlan, shift: float) -> dict[str, float]:
        quality = _within(
            self._quality + shift * self._quality + self.offset + self.dice.gauss(0.0, self._noise)
        )
        best = _within(0.1 + 0.85 * quality)
        objects = _within(best**1.2 + self.dice.gauss(0.0, self._noise))
        recall = _sigmoid(_logit(best) + 1.2 * self._push)
        precision = _sigmoid(_logit(best) - 1.2 * self._push)
        figures = {"ap": quality, "max_f1": best}
        figures |= _quadruple("", precision, recall)
        figures |= _quadruple("tuned_", best, best)
        for prefix, value, push in (("object_", objects, self._push), ("tuned_object_", objects, 0.0)):
            found = _quadruple(
                prefix, _sigmoid(_logit(value) - 0.9 * push), _sigmoid(_logit(value) + 0.9 * push)
            )
            figures |= {name: found[name] for name in found if not name.endswith("iou")}
            of_all = _logit(found[f"{prefix}recall"])
            figures |= {
                f"{prefix}recall_{size}": _sigmoid(of_all + shift)
                for size, shift in zip(SIZES, (-1.0, 0.0, 1.0), strict=True)
            }
        figures["count_error"] = abs(math.log(figures["object_recall"] / figures["object_precision"]))
        figures["tuned_count_error"] = _within(1.0 - objects)
        for floor in plan.measure.precision_floors:
            figures[parametric_name("recall_at_precision", floor)] = _within(best ** (2.0 * floor))
        for floor in plan.measure.recall_floors:
            figures[parametric_name("precision_at_recall", floor)] = _within(best ** (2.0 * floor))
        for beta in plan.measure.betas:
            square = beta * beta
            f_beta = (1 + square) * precision * recall / (square * precision + recall)
            figures[parametric_name("fbeta", beta)] = f_beta
        return figures


@functools.lru_cache(maxsize=4096)
def behavior(loss: Loss) -> _Family:
    """What a settled loss does, by its family and parameters."""
    if isinstance(loss, Compound):
        total = sum(fixed(part.weight) for part in loss.sum) or 1.0
        parts = [(fixed(part.weight) / total, behavior(part.loss)) for part in loss.sum]
        mean = {
            name: sum(weight * getattr(family, name) for weight, family in parts)
            for name in ("rate", "speed", "ceiling", "push", "needs_start")
        }
        return _Family(
            **{**mean, "ceiling": mean["ceiling"] + 0.02, "needs_start": 0.5 * mean["needs_start"]}
        )
    family = _FAMILIES.get(loss.term, _IMPORTED)
    figures: dict[str, Any] = {
        "rate": family.rate,
        "speed": family.speed,
        "ceiling": family.ceiling,
        "push": family.push,
        "needs_start": family.needs_start,
    }
    gamma = getattr(loss, "gamma", None)
    if gamma is not None:
        figures["ceiling"] -= 0.03 * abs(gamma - (2.0 if loss.term == "focal" else 0.8))
    weights = getattr(loss, "weights", None)
    if isinstance(weights, FrequencyWeights):
        power = fixed(weights.power)
        figures["push"] = 2.6 * power
        figures["ceiling"] -= 0.25 * (power - 0.5) ** 2
    alpha, beta = getattr(loss, "alpha", None), getattr(loss, "beta", None)
    if alpha is not None and beta is not None:
        figures["push"] = 2.0 * (beta - alpha)
        figures["ceiling"] -= 0.05 * abs(beta - alpha - 0.2)
    return _Family(**figures)


def _name(loss: Loss) -> str:
    return "+".join(part.loss.term for part in loss.sum) if isinstance(loss, Compound) else loss.term


def cost(loss: Loss) -> float:
    """Seconds of an epoch, with cross-entropy's as 1."""
    return 1.3 if _name(loss) == "lovasz" else 1.0


def _quadruple(prefix: str, precision: float, recall: float) -> dict[str, float]:
    f1 = 2.0 * precision * recall / (precision + recall)
    return {
        f"{prefix}precision": precision,
        f"{prefix}recall": recall,
        f"{prefix}f1": f1,
        f"{prefix}iou": f1 / (2.0 - f1),
    }


def _within(value: float) -> float:
    return min(0.999, max(0.001, value))


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def _sigmoid(x: float) -> float:
    return _within(0.5 + 0.5 * math.tanh(0.5 * x))
