"""What a trial reports: one `Evaluation` at a time, plain data for processes, checkpoints and databases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lossweep.spaces.schedules.realised import RealisedPhase


@dataclass(frozen=True, slots=True)
class GuardVerdict:
    """Why a guard ended a trial: the rule and its evidence.

    Attributes:
        rule: the guard's name, such as ``all_foreground``.
        step: optimizer steps at the verdict.
        phase: index of the phase (unrolled, from 0) it happened in.
        message: the evidence as one sentence.
        figures: the numbers behind it; non-finite ones are allowed here.
    """

    rule: str
    step: int
    phase: int
    message: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RehearsedLoss:
    """One loss of a schedule on the rehearsal batch, and its gradient by logits in few numbers.

    It follows from the loss and the data alone, so that losses of any trials of a sweep can be compared.

    Attributes:
        loss: on one line.
        gradient: as in `trainers.guards.rule.Rehearsal`, but by the logits of the class frequencies, where
            models start; None where it is not finite.
        strength: L2 norm of the gradient by logits drawn at random; 0 where it is not finite, and for a loss
            that ramps, which has more than one.
        sketch: a random projection of that gradient divided by its norm; empty where that is 0.
    """

    loss: str
    gradient: float | None
    strength: float
    sketch: tuple[float, ...] = ()


ImageCounts = tuple[tuple[tuple[int, int, int], ...], ...]
"""Of each image and foreground class: true positives, false positives, false negatives."""


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """What a confirmed trial scored on the test split, read once, at thresholds from validation.

    Attributes:
        score: the objective's leading metric.
        metric: which of ``metrics`` that is: a floor metric is read at validation's threshold.
        metrics: by the names of `spaces.metric_names`; ``tuned_`` is at ``thresholds``.
        thresholds: on logits, one a foreground class.
        step: of the evaluation whose weights were measured: the one the trial's score is taken from.
        pixels: counts of pixels, for resampling the images.
        objects: counts of objects, likewise.
    """

    score: float
    metric: str
    metrics: Mapping[str, float]
    thresholds: tuple[float, ...]
    step: int
    pixels: ImageCounts = ()
    objects: ImageCounts = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HeldOutScore:
        """Read back what `Evaluation.to_dict` wrote."""
        counts = {
            name: tuple(tuple(tuple(one) for one in image) for image in data[name])
            for name in ("pixels", "objects")
        }
        return cls(**{**data, "thresholds": tuple(data["thresholds"]), **counts})


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The validation metrics of a trial at one point in training.

    Attributes:
        step: optimizer steps done; the identity of an evaluation within its trial. A trial that was rejected
            before training has one evaluation, of step 0, without metrics.
        epoch: epochs done (an evaluation stands at an epoch's end).
        epochs: epochs of the trial's whole budget.
        phase: index of the phase just trained, in the schedule unrolled over its cycles, from 0.
        cycle: index of the cycle that phase belongs to, from 0.
        loss_name: the phase's loss on one line, as the schedule prints it.
        learning_rate: learning rate of the last step.
        metrics: validation metrics by the names of `spaces.metric_names`; always finite.
        losses: mean training loss since the previous evaluation: ``total`` and one entry a term.
        gradient_norm: mean L2 norm of the gradient before clipping since the previous evaluation.
        threshold: logit threshold tuned on validation (of the first foreground class when there are several).
        floor_thresholds: logit threshold at which each ``recall_at_precision_P`` and
            ``precision_at_recall_R`` of ``metrics`` holds on validation, by the metric's name; without those
            whose floor no threshold reaches, and without means over classes.
        object_sizes: of each foreground class, the largest area in pixels of a small and of a middle object,
            by which ``metrics`` tell them apart; the same in every evaluation of a data set.
        images_per_second: training throughput since the previous evaluation, evaluation excluded.
        seconds: wall-clock seconds since the previous evaluation, evaluation included.
        spent: what these seconds went to, by the parts of `trainers.loop.wall_time`; empty where nobody took
            note, as in ledgers of before.
        used: what the trial's own process and GPU used meanwhile, by the names of `trainers.loop.own_use`;
            empty likewise. Not compared: it says nothing of the training.
        phase_ended: the phase ended here: the next step, if any, is of another phase.
        cycle_ended: a whole cycle ended here.
        finished: the trial's budget is spent.
        verdict: set when a guard ended the trial here.
        held_out: of a finished confirmation trial: what it scored on the test split.
        rehearsed: of a trial's first evaluation: each distinct loss of its schedule before training.
        trained_by: number of the trial that trained up to here from the evaluation before, where it was
            another one: this trial went on from its checkpoint. None where this trial did itself.
    """

    step: int
    epoch: int
    epochs: int
    phase: int
    cycle: int
    loss_name: str
    learning_rate: float
    metrics: Mapping[str, float]
    losses: Mapping[str, float] = field(default_factory=dict)
    gradient_norm: float = 0.0
    threshold: float = 0.0
    floor_thresholds: Mapping[str, float] = field(default_factory=dict)
    object_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    images_per_second: float = 0.0
    seconds: float = 0.0
    spent: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict, compare=False)
    phase_ended: bool = False
    cycle_ended: bool = False
    finished: bool = False
    verdict: GuardVerdict | None = None
    held_out: HeldOutScore | None = None
    rehearsed: tuple[RehearsedLoss, ...] = ()
    trained_by: int | None = None

    @property
    def share(self) -> float:
        """The share of the trial's budget spent, in [0, 1]; 0 where it was rejected before training."""
        return self.epoch / self.epochs

    @property
    def time_shares(self) -> dict[str, float]:
        """What share of the wall time went to each part; empty where nobody took note."""
        return {part: seconds / self.seconds for part, seconds in self.spent.items() if self.seconds > 0}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        data = asdict(self)
        for name in ("held_out", "object_sizes", "spent", "used", "rehearsed"):
            if not data[name]:
                del data[name]  # unknown to earlier versions
        if data["trained_by"] is None:
            del data["trained_by"]  # likewise
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """Read back what `to_dict` wrote."""
        verdict = data.get("verdict")
        held_out = data.get("held_out")
        return cls(
            **{
                **data,
                "object_sizes": {name: tuple(two) for name, two in data.get("object_sizes", {}).items()},
                "rehearsed": tuple(
                    RehearsedLoss(**{**one, "sketch": tuple(one["sketch"])})
                    for one in data.get("rehearsed", ())
                ),
                "verdict": GuardVerdict(**verdict) if verdict else None,
                "held_out": HeldOutScore.from_dict(held_out) if held_out else None,
            }
        )


def realised(evaluations: Iterable[Evaluation]) -> tuple[RealisedPhase, ...]:
    """The phases as a trial really went through them, those it went back to included.

    Args:
        evaluations: of one trial, in order; every phase ends with one. A phase that a guard cut short, or
            that the last evaluation stands within, reaches to that evaluation.
    """
    stays: list[RealisedPhase] = []
    step = epoch = 0
    last: Evaluation | None = None
    for evaluation in evaluations:
        if last and last.phase_ended:
            step, epoch = last.step, last.epoch
        if stays and last and not last.phase_ended:
            stays.pop()
        stays.append(
            RealisedPhase(
                phase=evaluation.phase,
                cycle=evaluation.cycle,
                from_step=step,
                to_step=evaluation.step,
                from_epoch=epoch,
                epochs=evaluation.epoch - epoch,
            )
        )
        last = evaluation
    return tuple(stays)
