"""What the page needs to draw any trial's schedule timeline and its path in the precision-recall plane."""

from __future__ import annotations

from typing import Any

from lossweep.dashboards.families import family_color, kind_at, short_name
from lossweep.dashboards.report.plots.style import rounded, text
from lossweep.search.study.history import TrialHistory
from lossweep.spaces.metrics import over_training

SERIES = tuple(metric.name for metric in over_training("timeline"))
"""The metrics a timeline can show; the first three at 0.5."""


def timeline(trial: TrialHistory) -> dict[str, Any]:
    """Return steps, series and phases of a trial, as realised.

    A phase is a run of evaluations of the same phase index: ``from`` and ``to`` in steps, ``last`` the index
    of the evaluation at its end, ``kind`` and ``loss`` what was trained, ``rate`` at what learning rate.
    """
    evaluations = trial.evaluations
    return {
        "steps": [evaluation.step for evaluation in evaluations],
        "epochs": [evaluation.epoch for evaluation in evaluations],
        "series": {
            name: rounded([evaluation.metrics.get(name) for evaluation in evaluations])
            for name in SERIES
            if any(name in evaluation.metrics for evaluation in evaluations)
        },
        "phases": _phases(trial),
    }


def _phases(trial: TrialHistory) -> list[dict[str, Any]]:
    phases: list[dict[str, Any]] = []
    index, begin = -1, 0
    for position, evaluation in enumerate(trial.evaluations):
        if evaluation.phase != index:
            kind = kind_at(trial.schedule, evaluation)
            phases.append(
                {
                    "from": begin,
                    "cycle": evaluation.cycle,
                    "kind": text(short_name(kind)),
                    "color": family_color(kind),
                    "loss": text(evaluation.loss_name),
                    "rate": float(f"{evaluation.learning_rate:.3g}"),
                }
            )
            index = evaluation.phase
        phases[-1] |= {"to": evaluation.step, "last": position}
        begin = evaluation.step
    return phases
