"""Saved views of MLflow's experiment page: columns, sort, filter and charts, right when a link is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from lossweep.dashboards.mlflow.confirmed import ARM_TAG
from lossweep.dashboards.mlflow.content import CONFIRMATION, ROLE_TAG, SWEEP_TAG, milliseconds, safe_key
from lossweep.dashboards.mlflow.internals.view_state import (
    TAG_PREFIX,
    WORKFLOW,
    bar,
    chart,
    line,
    scatter,
    shared_view,
    view_id,
    view_query,
    view_state,
)
from lossweep.search.study.history import SweepHistory
from lossweep.spaces.metric_names import higher_is_better
from lossweep.spaces.metrics import over_training, shown_in
from lossweep.trainers.scoring.operating_points import held_out_metric


def saved_views(sweep: SweepHistory) -> Mapping[str, str]:
    """Return the experiment tags that hold a sweep's views.

    ``leaderboard``, ``curves`` and ``by outcome`` list the trials of this sweep's search; ``sweeps`` lists
    every sweep of the project with its best figures and its verdict, its trials nested under it;
    ``confirmation`` lists the trials that confirm, grouped by their arms, with figures of the test split
    alone.
    """
    trials = f"tags.`{SWEEP_TAG}` = '{sweep.name}' AND tags.`{ROLE_TAG}` = 'trial'"
    score = safe_key(f"best/{sweep.metric}")
    told = (f"best/{metric.name}" for metric in shown_in("table", "pixel", "tuned", "curve"))
    figures = list(dict.fromkeys(["best/score", score, *told]))
    order = {"orderByKey": "metrics.`best/score`", "orderByAsc": not higher_is_better(sweep.metric)}
    bars = [bar(sweep.name, figure) for figure in ("best/score", "best/f1", "best/tuned_f1", "best/ap")]
    plane = scatter(sweep.name, "best/recall", "best/precision", "Precision over recall at 0.5")
    tuned = scatter(sweep.name, "best/tuned_recall", "best/tuned_precision", "Precision over recall, tuned")
    parallel = chart(
        sweep.name,
        "parallel",
        "PARALLEL",
        "Losses against the score",
        selectedParams=["cycles"],
        selectedMetrics=["best/precision", "best/recall", "best/score"],
        showAllRuns=True,
    )
    drawn = (*(metric.name for metric in over_training("charts")), "loss/total", "schedule/phase")
    lines = [line(sweep.name, name) for name in drawn]
    columns = [f"metrics.`{figure}`" for figure in figures]
    tags = _tags("outcome", "loss_family", "is_control")
    views = {
        "leaderboard": view_state(trials, order, [*columns, *tags], [plane, tuned, *bars, parallel]),
        "curves": view_state(trials, order, [*columns[:1], *tags], lines),
        "by outcome": view_state(
            trials,
            order,
            [*columns[:1], *tags, "tags.`reason`"],
            [*bars[:1], plane],
            groupBy={
                "aggregateFunction": "average",
                "groupByKeys": [{"mode": "tag", "groupByData": "outcome"}],
            },
        ),
    }
    verdict = [*_tags("verdict", "control"), "metrics.`confirmed/difference`"]
    views["sweeps"] = view_state(
        "", {"orderByKey": "attributes.start_time", "orderByAsc": False}, [*columns, *verdict], bars
    )
    views[CONFIRMATION] = _confirmation_view(sweep)
    at = milliseconds(sweep.created, sweep.created)
    return {
        f"{TAG_PREFIX}{view_id(sweep.name, name)}": shared_view(f"{sweep.name}: {name}", at, state)
        for name, state in views.items()
    }


def _confirmation_view(sweep: SweepHistory) -> dict[str, Any]:
    told = (f"test/{metric.name}" for metric in shown_in("table", "tuned", "curve"))
    figures = list(dict.fromkeys(["test/score", safe_key(f"test/{held_out_metric(sweep.metric)}"), *told]))
    return view_state(
        f"tags.`{SWEEP_TAG}` = '{sweep.name}' AND tags.`{ROLE_TAG}` = '{CONFIRMATION}'",
        {"orderByKey": "metrics.`test/score`", "orderByAsc": not higher_is_better(sweep.metric)},
        [
            *_tags(ARM_TAG, "seed_index"),
            *(f"metrics.`{figure}`" for figure in figures),
            *_tags("confirms_trial", "outcome"),
        ],
        [bar(sweep.name, figure) for figure in ("test/score", "test/tuned_f1", "test/ap")],
        groupBy={"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": ARM_TAG}]},
    )


def _tags(*names: str) -> list[str]:
    return [f"tags.`{name}`" for name in names]


def view_link(base: str, experiment: str, sweep: str, view: str = "leaderboard") -> str:
    """Return the address of a saved view; ``base`` such as ``http://127.0.0.1:5000``."""
    mode = "TABLE" if view in ("leaderboard", "sweeps", CONFIRMATION) else "CHART"
    query = view_query(view_id(sweep, view), mode)
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs?{query}"


def run_link(base: str, experiment: str, run: str, artifact: str | None = None) -> str:
    """Return the address of a run's page, or of one of its artifacts there."""
    path = f"{base.rstrip('/')}/#/experiments/{experiment}/runs/{run}"
    tail = f"/artifacts/{artifact}" if artifact else ""
    return f"{path}{tail}?{urlencode(WORKFLOW)}"
