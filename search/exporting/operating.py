"""An operating point that a person asks for: ``precision>=0.3`` is a floor, and a threshold on logits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lossweep.search.conducting.plans import measuring, plan_of
from lossweep.search.study.trial_history import TrialHistory
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.metric_names import TUNED, TUNED_OBJECT, canonical_metric, parametric_name
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan

if TYPE_CHECKING:
    from torch import nn

    from lossweep.trainers.data.loading import SegmentationData

_FLOOR: Final = re.compile(r"\s*(precision|recall)\s*>=\s*(\d*\.?\d+)\s*")
_METRICS: Final = {"precision": "recall_at_precision", "recall": "precision_at_recall"}


@dataclass(frozen=True, slots=True)
class AskedPoint:
    """Where a model operates because somebody asked for it.

    Attributes:
        threshold: on logits.
        rule: the floor metric that it is the threshold of, such as ``recall_at_precision_0.3``.
        value: of that metric on validation.
        figures: of validation at this threshold, by the names of the metrics at a fixed threshold; empty
            where the threshold was known from the training itself.
    """

    threshold: float
    rule: str
    value: float
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class TrainedWeights:
    """A trial's weights as they were when its score was taken, the data and the plan they were trained by."""

    model: nn.Module
    data: SegmentationData
    plan: TrialPlan
    scored: Evaluation


def floor_metric(asked: str) -> str:
    """Return the metric that a floor stands for: ``recall_at_precision_0.3`` for ``precision>=0.3``.

    Raises:
        UserError: when it is no such floor.
    """
    found = _FLOOR.fullmatch(asked)
    try:
        if found is not None:
            return canonical_metric(parametric_name(_METRICS[found[1]], float(found[2])))
    except ValueError:
        pass
    allowed = '"precision>=P" or "recall>=R", from above 0 to 1'
    raise UserError(Problem("not an operating point", key="--at", found=repr(asked), allowed=allowed))


def weights_of(trial: TrialHistory, spec: SweepSpec, workspace: Workspace) -> TrainedWeights:
    """Load a trial's weights from its checkpoint.

    Raises:
        UserError: when the checkpoint is gone or can't be reached, or the data have changed since.
    """
    from lossweep.trainers.loop.checkpoint_storage import check_reachable
    from lossweep.trainers.loop.checkpoints import CheckpointStore
    from lossweep.trainers.loop.retrieval import trained_model
    from lossweep.trainers.trial import SegmentationTrainer

    scored = trial.scored
    if scored is None:
        raise UserError(Problem(f"trial {trial.number} of sweep {spec.name} has no score to export"))
    data = SegmentationTrainer(spec.data, workspace.cache, None).data()
    place = workspace.checkpoints(spec.name)
    check_reachable(place)
    store = CheckpointStore(place)
    plan = plan_of(spec, trial)
    model = trained_model(plan, data, store, scored.step)
    if model is None:
        raise UserError(
            Problem(
                f"trial {trial.number} of sweep {spec.name} has no checkpoint of epoch {scored.epoch} left",
                hint="it was deleted, or data, torch or the model's code have changed since; "
                "lossweep train trains it again",
            )
        )
    return TrainedWeights(model, data, plan, scored)


def asked_point(name: str, trial: TrialHistory, spec: SweepSpec, workspace: Workspace) -> AskedPoint:
    """Return where on its validation curve a trial meets a floor, as it was recorded, or measured anew.

    Args:
        name: from `floor_metric`.
        trial: with a score.
        spec: of its sweep.
        workspace: where its checkpoint lies.

    Raises:
        UserError: when no threshold reaches the floor, the checkpoint is gone, or there are several
            foreground classes, whose likeliest one is predicted without a threshold.
    """
    if len(spec.data.classes) > 2:
        message = "with several foreground classes the likeliest one is predicted: no threshold decides"
        raise UserError(Problem(message, key="--at"))
    scored = trial.scored
    if scored is not None and name in scored.floor_thresholds:
        return AskedPoint(scored.floor_thresholds[name], name, scored.metrics[name], {})
    return _measured_anew(name, weights_of(trial, spec, workspace))


def best_at(
    name: str, trials: Sequence[TrialHistory], spec: SweepSpec, workspace: Workspace
) -> tuple[TrialHistory, AskedPoint]:
    """Return the trial that is best at a floor, such as of a Pareto front, with the point where it meets it.

    Args:
        name: from `floor_metric`.
        trials: at least one; those that do not reach the floor, or whose checkpoint is gone, are passed over.
        spec: of their sweep.
        workspace: where their checkpoints lie.

    Raises:
        UserError: with why none of them meets it.
    """
    found: list[tuple[TrialHistory, AskedPoint]] = []
    problems: list[Problem] = []
    for trial in trials:
        try:
            found.append((trial, asked_point(name, trial, spec, workspace)))
        except UserError as error:
            problems += error.problems
    if not found:
        raise UserError(list(dict.fromkeys(problems)))
    return max(found, key=lambda each: each[1].value)


def _measured_anew(name: str, weights: TrainedWeights) -> AskedPoint:
    from lossweep.trainers.loop.measurement import evaluate_split

    data, training = weights.data, weights.plan.training
    measure = measuring(weights.plan.measure, [name])
    found = evaluate_split(weights.model, data.val, data.prior, measure, training=training)
    threshold = found.floor_thresholds.get(name)
    if threshold is None:
        message = "no threshold reaches this floor on validation"
        raise UserError(Problem(message, key="--at", found=name, hint="ask for a lower one"))
    at = evaluate_split(weights.model, data.val, data.prior, measure, threshold, training=training)
    figures = {each.removeprefix("tuned_"): round(at.metrics[each], 6) for each in (*TUNED, *TUNED_OBJECT)}
    return AskedPoint(threshold, name, found.metrics[name], figures)
