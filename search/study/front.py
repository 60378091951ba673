"""Of a sweep with several objectives: the trials that no other beats."""

from __future__ import annotations

import yaml
from pydantic import ValidationError

from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.trainers.scoring.objectives import ObjectiveSpec, pareto_front


def objective_of(history: SweepHistory) -> ObjectiveSpec:
    """Return the objective that a sweep was submitted with."""
    return ObjectiveSpec.model_validate(yaml.safe_load(history.spec_yaml)["objective"])


def front_of(history: SweepHistory) -> tuple[TrialHistory, ...]:
    """Return the Pareto front of the completed trials, the best by the leading metric first.

    Trials that miss a constraint stand on it only while none meets them all. With one objective there is no
    front, but a winner; nor is there one where the sweep file cannot be read any more.
    """
    try:
        objective = objective_of(history)
    except (yaml.YAMLError, ValidationError, KeyError, TypeError):
        return ()
    if len(objective.names) == 1:
        return ()
    done = [t for t in history.ranked() if t.outcome is OutcomeKind.COMPLETED]
    chosen = [trial for trial in done if trial.feasible] or done
    best = pareto_front(objective, {trial.number: trial.values for trial in chosen})
    return tuple(trial for trial in chosen if trial.number in best)
