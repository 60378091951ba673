"""From a sweep file to the plan of one of its trials."""

from __future__ import annotations

from lossweep.search.conducting.settings import PlanTemplate
from lossweep.search.study.history import TrialHistory
from lossweep.search.study.objectives import measuring
from lossweep.search.sweep_spec import SweepSpec
from lossweep.trainers.plan import TrialPlan


def template_of(spec: SweepSpec) -> PlanTemplate:
    """What all trials of a sweep have in common.

    Measured is, besides what the file asks for, every metric that something in it goes by: the objective, the
    pruner, and whatever a schedule of the space may wait for.
    """
    metrics = {*spec.objective.watched, *spec.space.metrics, *filter(None, [spec.pruning.metric])}
    return PlanTemplate(
        epochs=spec.budget.epochs,
        data=spec.data,
        model=spec.model,
        training=spec.training,
        guards=spec.guards,
        measure=measuring(spec.measure, metrics),
    )


def plan_of(spec: SweepSpec, trial: TrialHistory) -> TrialPlan:
    """The plan a trial was trained by, exactly: what its checkpoints are found by."""
    return template_of(spec).plan(trial.number, trial.seed, trial.schedule)
