"""From a sweep file to the plan of one of its trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from lossweep.search.conducting.settings import PlanTemplate
from lossweep.search.study.history import TrialHistory
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.metric_names import OWN, PARAMETRIC
from lossweep.spaces.metrics import FAMILIES
from lossweep.trainers.plan import MeasureSpec, TrialPlan


def template_of(spec: SweepSpec) -> PlanTemplate:
    """What all trials of a sweep have in common.

    Measured is, besides what the file asks for, every metric that something in it goes by.
    """
    return PlanTemplate(
        epochs=spec.budget.epochs,
        data=spec.data,
        model=spec.model,
        training=spec.training,
        guards=spec.guards,
        measure=measuring(spec.measure, spec.steered_by),
        own_training=spec.controls.trainings,
    )


def plan_of(spec: SweepSpec, trial: TrialHistory) -> TrialPlan:
    """The plan a trial was trained by: what its checkpoints are found by. It leaves the test split alone."""
    epochs = trial.schedule.epochs if trial.extends is not None else None
    template = template_of(spec)
    plan = template.plan(trial.number, trial.seed, trial.schedule, control=trial.control, epochs=epochs)
    return dataclasses.replace(plan, code=trial.code)


def measuring(measure: MeasureSpec, metrics: Iterable[str]) -> MeasureSpec:
    """Return ``measure`` widened by the floors, betas and users' own that ``metrics`` name."""
    settings = {family.name: family.parameter.setting for family in FAMILIES if family.parameter}
    wanted: dict[str, set[Any]] = {key: set(getattr(measure, key)) for key in (*settings.values(), "own")}
    for name in metrics:
        base = name.partition("/")[0]
        if found := PARAMETRIC.fullmatch(base):
            wanted[settings[found["name"]]].add(float(found["value"]))
        elif OWN.fullmatch(base):
            wanted["own"].add(base)
    return measure.model_copy(update={key: tuple(sorted(values)) for key, values in wanted.items()})
