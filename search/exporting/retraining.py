"""An exported schedule trained once more: its plan, what came of it, and the file that tells of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from lossweep.search.conducting.plans import template_of
from lossweep.search.exporting.operating import TrainedWeights
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.files.errors import LossweepError, Problem
from lossweep.spaces.metrics import shown_in
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.evaluation import Evaluation, realised
from lossweep.trainers.own_code import with_code
from lossweep.trainers.plan import TrialPlan
from lossweep.trainers.scoring.objectives import score
from lossweep.trainers.scoring.operating_points import OperatingPoint, operating_point

if TYPE_CHECKING:
    from lossweep.trainers.data.loading import SegmentationData
    from lossweep.trainers.inference.segmenter import Segmenter
    from lossweep.trainers.loop.checkpoints import CheckpointStore

AGAIN: Final = "trained_again"
"""Marks the provenance of what was trained so, apart from that of a sweep's own trainings."""

_OF_THE_EXPORTED: Final = ("at_threshold", "preferred", "front", "extends", "code")
"""Provenance that says something of the exported training alone."""


@dataclass(frozen=True, slots=True)
class Retrained:
    """What came of a training.

    Attributes:
        weights: of the evaluation that the sweep's objective scores it at, on validation.
        point: where they operate.
        evaluations: all of them, in order.
    """

    weights: TrainedWeights
    point: OperatingPoint
    evaluations: tuple[Evaluation, ...]


def retraining_plan(
    chosen: ScheduleFile, spec: SweepSpec, seed: int | None = None, epochs: int | None = None
) -> TrialPlan:
    """Return the plan of a training by an exported schedule.

    Args:
        chosen: the schedule.
        spec: whose data, model and settings it is trained with.
        seed: of the training; the exported one's, else the sweep's, when None.
        epochs: how long; as exported when None.
    """
    schedule = chosen.with_budget(epochs or chosen.budget)
    used = seed if seed is not None else int(chosen.provenance.get("seed", spec.seed))
    template = replace(template_of(spec), epochs=schedule.budget)
    return template.plan(0, used, schedule, control=chosen.provenance.get("control"))


def train_again(
    plan: TrialPlan,
    data: SegmentationData,
    spec: SweepSpec,
    store: CheckpointStore,
    told: Callable[[Evaluation], None],
) -> Retrained:
    """Train, and take the weights by the rule that scored the trainings of the sweep.

    Args:
        plan: from `retraining_plan`.
        data: what to train on.
        spec: with the objective.
        store: where its checkpoints are kept; what was trained before is gone on from.
        told: of each evaluation.

    Raises:
        LossweepError: the training diverged, or its checkpoint is gone.
    """
    from lossweep.trainers.loop.retrieval import trained_model
    from lossweep.trainers.loop.training import train

    evaluations = []
    for evaluation in train(plan, data, store):
        told(evaluation)
        evaluations.append(evaluation)
    if evaluations[-1].verdict is not None:
        raise LossweepError(f"the training diverged: {evaluations[-1].verdict.message}")
    # The best of the ends of its cycles, on validation.
    taken = score(spec.objective, evaluations)
    best = taken.evaluation if taken is not None else evaluations[-1]
    model = trained_model(plan, data, store, best.step)
    if model is None:
        raise LossweepError(f"the trained weights are gone from {store.folder}")
    point = operating_point(spec.objective, best)
    return Retrained(TrainedWeights(model, data, plan, best), point, tuple(evaluations))


def test_split_figures(retrained: Retrained) -> Mapping[str, float]:
    """Read the test split, once: its figures at the model's threshold.

    With several foreground classes each is read at its threshold of the highest F1 on validation.
    """
    from lossweep.trainers.loop.measurement import evaluate_split

    model, data, plan = retrained.weights.model, retrained.weights.data, retrained.weights.plan
    # A meter calls tuned what holds at the given thresholds: here, with two classes, at the model's own.
    at: float | tuple[float, ...] = retrained.point.threshold
    if not data.prior.is_binary:
        at = evaluate_split(model, data.val, data.prior, plan.measure, training=plan.training).thresholds
    found = evaluate_split(model, data.test, data.prior, plan.measure, at, training=plan.training)
    model.cpu()  # from the device it was measured on
    return found.metrics


def retrained_segmenter(retrained: Retrained, sweep: str) -> Segmenter:
    """Return the trained model in use, on the CPU.

    Args:
        retrained: from `train_again`.
        sweep: name of that whose data and settings it was trained with.
    """
    from lossweep.trainers.inference.segmenter import Segmenter, spec_of

    weights, plan, point = retrained.weights, retrained.weights.plan, retrained.point
    known = {
        "sweep": sweep,
        "seed": plan.seed,
        "schedule": str(plan.schedule),
        "epoch": weights.scored.epoch,
        AGAIN: True,
    }
    about = spec_of(plan.model, plan.training, weights.data, point.threshold, point.rule, known)
    return Segmenter.of(weights.model, about, device="cpu")


def retrained_schedule(
    chosen: ScheduleFile, spec: SweepSpec, retrained: Retrained, doubt: Problem | None = None
) -> ScheduleFile:
    """Return the schedule file of a training: how it went, and where its schedule comes from.

    What was confirmed stays in it as it was told: whoever trains by this file is held against that.

    Args:
        chosen: the schedule that was trained.
        spec: with the objective.
        retrained: what came of it.
        doubt: why no verdict stands behind it; None: one does.
    """
    weights, plan, point = retrained.weights, retrained.weights.plan, retrained.point
    prior, metrics = weights.data.prior, weights.scored.metrics
    code = with_code(plan).code
    kept = {key: value for key, value in chosen.provenance.items() if key not in _OF_THE_EXPORTED}
    told = dict.fromkeys(
        (*spec.objective.watched, *(each.name for each in shown_in("table", "pixel", "tuned")))
    )
    now: dict[str, Any] = {
        "seed": plan.seed,
        "data": weights.data.fingerprint,
        "lossweep": version("lossweep"),
        **({"code": dict(code)} if code else {}),
        "objective": str(spec.objective),
        "scored_at_epoch": weights.scored.epoch,
        "threshold_of": point.rule,
        "scores": {name: round(metrics[name], 6) for name in told if name in metrics},
        AGAIN: retrained_words(chosen, plan.seed, doubt),
    }
    return ScheduleFile(
        phases=plan.schedule.phases,
        cycles=plan.schedule.cycles,
        epochs=plan.epochs,
        classes=prior.names,
        frequencies=prior.frequencies,
        threshold=point.probability,
        logit_threshold=point.threshold,
        realised=realised(retrained.evaluations),
        provenance={**kept, **now},
    )


def retrained_words(chosen: ScheduleFile, seed: int, doubt: Problem | None) -> str:
    """Return what a training has to do with those that were confirmed, as one line.

    Args:
        chosen: the schedule that was trained.
        seed: of the training.
        doubt: why no verdict stands behind it; None: one does.
    """
    trained = f"trained by lossweep train with seed {seed}"
    if doubt is not None:
        return f"{trained}; no verdict stands behind it: {doubt.message}"
    seeds = chosen.provenance.get("confirmed", {}).get("seeds", ())
    which = "one" if seed in seeds else "none"
    of_it = "the verdict is about the schedule, and this is another training of it"
    return f"{trained}, {which} of the seeds that were confirmed: {of_it}"
