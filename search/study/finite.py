"""What of an evaluation may be stored: what is no number breaks databases, MLflow and pages."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from lossweep.trainers.evaluation import Evaluation


def finite_only(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation without what is not finite: nothing such is ever stored."""
    verdict = evaluation.verdict
    if verdict is not None:
        verdict = dataclasses.replace(verdict, figures=_only_finite(verdict.figures))
    return dataclasses.replace(
        evaluation,
        metrics=_only_finite(evaluation.metrics),
        losses=_only_finite(evaluation.losses),
        verdict=verdict,
        gradient_norm=evaluation.gradient_norm if math.isfinite(evaluation.gradient_norm) else 0.0,
        threshold=evaluation.threshold if math.isfinite(evaluation.threshold) else 0.0,
        floor_thresholds=_only_finite(evaluation.floor_thresholds),
    )


def _only_finite(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if math.isfinite(value)}
