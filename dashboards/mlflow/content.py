"""What MLflow is to show of a trial, as plain data: a function of the history, so that it can be rebuilt.

Timestamps follow from the history too. MLflow drops a metric that it already holds with the same key, step,
value and timestamp: writing the same content twice changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import yaml

from lossweep.dashboards.mlflow.confirmed import (
    confirmation_tags,
    held_out_figures,
    run_name,
)
from lossweep.dashboards.mlflow.internals.names import RUN_NAME_TAG
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.trainers.evaluation import Evaluation

SWEEP_TAG: Final = "lossweep.sweep"
SWEEP_ID_TAG: Final = "lossweep.sweep_id"
TRIAL_TAG: Final = "lossweep.trial"
ROLE_TAG: Final = "lossweep.role"
DIGEST_TAG: Final = "lossweep.digest"
CONFIRMATION: Final = "confirmation"
"""The role of a confirmation trial's run; that of a trial of the search is ``trial``."""
EXTENSION: Final = "extension"
"""The role of the run of a trial with more epochs than the budget."""

NAME_LENGTH: Final = 250
PARAMETER_LENGTH: Final = 6000
TAG_LENGTH: Final = 7900

_KEY: Final = re.compile(r"^[/\w.\- :]{1,200}$")


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric of a run; ``at`` in milliseconds since 1970."""

    key: str
    value: float
    at: int
    step: int


@dataclass(frozen=True, slots=True)
class RunContent:
    """Everything a run is to hold.

    Attributes:
        name: shown in the list of runs.
        status: an MLflow run status.
        tags: by key.
        params: by key; MLflow never changes one that is set.
        points: all values of all metrics, finite.
        started: milliseconds since 1970.
        ended: likewise, None while it runs.
    """

    name: str
    status: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    points: tuple[Point, ...]
    started: int
    ended: int | None

    def digest(self) -> str:
        """Return a fingerprint of the numbers, the parameters and the tags."""
        parts = sorted((p.key, p.step, p.value.hex(), p.at) for p in self.points)
        plain = json.dumps([parts, sorted(self.params.items()), sorted(self.tags.items())])
        return hashlib.sha256(plain.encode()).hexdigest()[:24]


def safe_key(name: str) -> str:
    """Return a key that MLflow takes: the name itself, or a readable stand-in with a fingerprint.

    MLflow refuses keys with characters such as ``<`` and those that are no normal relative path.
    """
    normal = posixpath.normpath(name) if name else "."
    if _KEY.match(name) and normal == name and not name.startswith(("/", "..")) and name != ".":
        return name
    readable = re.sub(r"[^\w\- :]+", "_", name)[:180].strip("_ ") or "key"
    return f"{readable}.{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def milliseconds(moment: datetime | None, otherwise: datetime) -> int:
    """Return milliseconds since 1970; a moment without a zone is UTC."""
    moment = moment or otherwise
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def sweep_id(history: SweepHistory) -> str:
    """Return what tells this sweep from an earlier one of the same name on the same server."""
    return f"{history.name}@{milliseconds(history.created, history.created)}"


def evaluation_points(evaluation: Evaluation, at: int) -> tuple[Point, ...]:
    """Return the metrics of one evaluation, finite ones only, at its optimizer step."""
    figures: dict[str, float] = dict(evaluation.metrics)
    figures |= {f"loss/{name}": value for name, value in evaluation.losses.items()}
    figures |= {
        "train/gradient_norm": evaluation.gradient_norm,
        "train/learning_rate": evaluation.learning_rate,
        "train/images_per_second": evaluation.images_per_second,
        "train/seconds": evaluation.seconds,
        "schedule/phase": float(evaluation.phase),
        "schedule/cycle": float(evaluation.cycle),
        "schedule/epoch": float(evaluation.epoch),
        "threshold": evaluation.threshold,
    }
    figures |= {f"threshold/{name}": value for name, value in evaluation.floor_thresholds.items()}
    figures |= {f"time/{part}": share for part, share in evaluation.time_shares.items()}
    figures |= {f"use/{name}": value for name, value in evaluation.used.items()}
    return points_of(figures, at, evaluation.step)


def seconds_so_far(evaluations: Iterable[Evaluation]) -> Iterator[float]:
    """Yield the running total of seconds; added one by one, so that it can be taken up later."""
    total = 0.0
    for evaluation in evaluations:
        total += evaluation.seconds
        yield total


def moment(trial: TrialHistory, sweep: SweepHistory, seconds: float) -> int:
    """Return the time, in milliseconds since 1970, so many seconds of work after a trial's start."""
    return milliseconds(trial.started, sweep.created) + round(1000.0 * seconds)


def times(trial: TrialHistory, sweep: SweepHistory) -> Iterator[tuple[Evaluation, int]]:
    """Yield each evaluation with its time."""
    for evaluation, seconds in zip(trial.evaluations, seconds_so_far(trial.evaluations), strict=True):
        yield evaluation, moment(trial, sweep, seconds)


def best_points(trial: TrialHistory, sweep: SweepHistory) -> tuple[Point, ...]:
    """Return the final figures of an ended trial, ``best/*``: one value a run, for tables and charts."""
    evaluation = trial.shown
    if evaluation is None:
        return ()
    at = list(times(trial, sweep))[-1][1]
    figures = {f"best/{name}": value for name, value in evaluation.metrics.items() if "/" not in name}
    figures |= {"best/step": float(evaluation.step), "best/gpu_seconds": trial.gpu_seconds}
    if trial.score is not None:
        figures["best/score"] = trial.score
    return points_of(figures, at, evaluation.step)


def held_out_points(trial: TrialHistory, sweep: SweepHistory) -> tuple[Point, ...]:
    """Return what an ended confirmation trial scored on the test split, ``test/*``: one value a run.

    Its figures are never among ``best/*``: charts and tables of the search are of the validation split.
    """
    read = trial.held_out
    if read is None:
        return ()
    at = list(times(trial, sweep))[-1][1]
    return points_of(held_out_figures(trial), at, read.step)


def points_of(figures: Mapping[str, float], at: int, step: int) -> tuple[Point, ...]:
    """Return figures as points under keys that MLflow takes, without those that are not finite."""
    finite = ((key, float(value)) for key, value in figures.items() if math.isfinite(value))
    return tuple(Point(safe_key(key), value, at, step) for key, value in finite)


def trial_name(trial: TrialHistory, sweep: SweepHistory) -> str:
    """Return ``#12 ...``, ``confirm #12 seed 2: ...`` or ``extend #12 to 60 epochs: ...``, cut for a list."""
    if trial.confirms is not None:
        return f"{run_name(trial, sweep)}: {trial.schedule}"[:NAME_LENGTH]
    if trial.extends is not None:
        more = f"extend #{trial.extends} to {trial.schedule.epochs} epochs"
        return f"{more}: {trial.schedule}"[:NAME_LENGTH]
    mark = f" [control {trial.control}]" if trial.control else ""
    return f"#{trial.number}{mark} {trial.schedule}"[:NAME_LENGTH]


def trial_content(trial: TrialHistory, sweep: SweepHistory) -> RunContent:
    """Return the child run of a trial as it stands."""
    points = [p for evaluation, at in times(trial, sweep) for p in evaluation_points(evaluation, at)]
    confirms = trial.confirms is not None
    if trial.outcome.is_final:
        points += held_out_points(trial, sweep) if confirms else best_points(trial, sweep)
    params: dict[str, object] = dict(trial.parameters)
    params |= {"schedule": str(trial.schedule), "cycles": trial.schedule.cycles, "seed": trial.seed}
    tags: dict[str, object] = {
        SWEEP_TAG: sweep.name,
        SWEEP_ID_TAG: sweep_id(sweep),
        TRIAL_TAG: str(trial.number),
        ROLE_TAG: _role(trial),
        "outcome": trial.outcome.value,
        "reason": trial.reason,
        "loss_family": trial.schedule.family,
        "is_control": str(trial.control is not None).lower(),
        "control": trial.control or "",
        "feasible": str(trial.feasible).lower(),
        "use_case": use_case(sweep),
        RUN_NAME_TAG: trial_name(trial, sweep),
    }
    tags |= {} if trial.retries is None else {"retries": str(trial.retries)}
    tags |= {} if trial.extends is None else {"extends": str(trial.extends)}
    tags |= {"shares": trial.shares} if trial.shares else {}
    tags |= confirmation_tags(trial, sweep) if confirms else {}
    started = milliseconds(trial.started, sweep.created)
    ended = milliseconds(trial.ended, sweep.created) if trial.ended else None
    return RunContent(
        name=trial_name(trial, sweep),
        status=trial.outcome.mlflow_status,
        tags=texts(tags, TAG_LENGTH),
        params=texts(params, PARAMETER_LENGTH),
        points=tuple(points),
        started=started,
        ended=ended if trial.outcome is not OutcomeKind.RUNNING else None,
    )


def _role(trial: TrialHistory) -> str:
    if trial.extends is not None:
        return EXTENSION
    return CONFIRMATION if trial.confirms is not None else "trial"


def use_case(sweep: SweepHistory) -> str:
    """Return the objective's use case as the sweep file gives it, else ``custom``."""
    objective = spec_of(sweep).get("objective")
    return str(objective.get("use_case") or "custom") if isinstance(objective, dict) else "custom"


def spec_of(sweep: SweepHistory) -> dict[str, Any]:
    """Return the sweep file as data; nothing of one that cannot be read."""
    try:
        spec = yaml.safe_load(sweep.spec_yaml)
    except yaml.YAMLError:
        return {}
    return spec if isinstance(spec, dict) else {}


def texts(values: Mapping[str, object] | Iterable[tuple[str, object]], longest: int) -> dict[str, str]:
    """Return tags or parameters as MLflow takes them, each cut to its longest."""
    return {safe_key(str(key)): str(value)[:longest] for key, value in dict(values).items()}
