"""Saved views of MLflow's experiment page: columns, sort, filter and charts, right when the link is opened.

MLflow 3.17 keeps a view as an experiment tag ``mlflow.sharedViewState.<id>``: an envelope of ``name``,
``createdAt``, ``updatedAt`` and ``state``, the state itself being JSON in a string. None of this is
documented; the browser tests hold it. Traps: a tag holds at most 20,000 characters; ``groupBy.mode`` must be
lower case; a search term in the address makes the page ignore the view; without ``workflowType`` the page
opens in its mode for LLM traces.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from lossweep.dashboards.mlflow.content import ROLE_TAG, SWEEP_TAG, milliseconds, safe_key
from lossweep.search.study.history import SweepHistory
from lossweep.spaces.metric_names import higher_is_better
from lossweep.spaces.metrics import over_training, shown_in

TAG_PREFIX: Final = "mlflow.sharedViewState."

_NAMESPACE: Final = uuid.UUID("6f1d2b1e-5a53-4c4b-9a63-1f0b6c1d9a11")


def view_id(sweep: str, view: str) -> str:
    """Return the key of a sweep's view: stable, so that it is written over and not doubled."""
    return uuid.uuid5(_NAMESPACE, f"{sweep}/{view}").hex[:16]


def saved_views(sweep: SweepHistory) -> Mapping[str, str]:
    """Return the experiment tags that hold a sweep's views: leaderboard, curves, by outcome, sweeps.

    The first three list this sweep's trials; ``sweeps`` lists every sweep of the project with its best
    figures, its trials nested under it.
    """
    trials = f"tags.`{SWEEP_TAG}` = '{sweep.name}' AND tags.`{ROLE_TAG}` = 'trial'"
    score = safe_key(f"best/{sweep.metric}")
    told = (f"best/{metric.name}" for metric in shown_in("table", "pixel", "tuned", "curve"))
    figures = list(dict.fromkeys(["best/score", score, *told]))
    order = {"orderByKey": "metrics.`best/score`", "orderByAsc": not higher_is_better(sweep.metric)}
    bars = [_bar(sweep.name, figure) for figure in ("best/score", "best/f1", "best/tuned_f1", "best/ap")]
    plane = _scatter(sweep.name, "best/recall", "best/precision", "Precision over recall at 0.5")
    tuned = _scatter(sweep.name, "best/tuned_recall", "best/tuned_precision", "Precision over recall, tuned")
    parallel = _chart(
        sweep.name,
        "parallel",
        "PARALLEL",
        "Losses against the score",
        selectedParams=["cycles"],
        selectedMetrics=["best/precision", "best/recall", "best/score"],
        showAllRuns=True,
    )
    drawn = (*(metric.name for metric in over_training("charts")), "loss/total", "schedule/phase")
    lines = [_line(sweep.name, name) for name in drawn]
    columns = [f"metrics.`{figure}`" for figure in figures]
    tags = [f"tags.`{name}`" for name in ("outcome", "loss_family", "is_control")]
    views = {
        "leaderboard": _state(trials, order, [*columns, *tags], [plane, tuned, *bars, parallel]),
        "curves": _state(trials, order, [*columns[:1], *tags], lines),
        "by outcome": _state(
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
    views["sweeps"] = _state("", {"orderByKey": "attributes.start_time", "orderByAsc": False}, columns, bars)
    at = milliseconds(sweep.created, sweep.created)
    return {
        f"{TAG_PREFIX}{view_id(sweep.name, name)}": json.dumps(
            {
                "name": f"{sweep.name}: {name}",
                "createdAt": at,
                "updatedAt": at,
                "state": json.dumps(state, separators=(",", ":")),
            },
            separators=(",", ":"),
        )
        for name, state in views.items()
    }


def view_link(base: str, experiment: str, sweep: str, view: str = "leaderboard") -> str:
    """Return the address of a saved view; ``base`` such as ``http://127.0.0.1:5000``."""
    mode = "TABLE" if view in ("leaderboard", "sweeps") else "CHART"
    query = urlencode(
        {
            "viewStateShareKey": view_id(sweep, view),
            "compareRunsMode": mode,
            "workflowType": "machine_learning",
        }
    )
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs?{query}"


def run_link(base: str, experiment: str, run: str, artifact: str | None = None) -> str:
    """Return the address of a run's page, or of one of its artifacts there."""
    path = f"{base.rstrip('/')}/#/experiments/{experiment}/runs/{run}"
    tail = f"/artifacts/{artifact}" if artifact else ""
    return f"{path}{tail}?workflowType=machine_learning"


def _state(
    trials: str, order: Mapping[str, object], columns: Sequence[str], charts: Sequence[object], **more: object
) -> dict[str, Any]:
    section = "lossweep"
    return {
        "searchFilter": trials,
        **order,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(columns),
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": list(charts),
        "compareRunSections": [
            {
                "uuid": section,
                "name": "Sweep",
                "display": True,
                "isReordered": False,
                "deleted": False,
                "isGenerated": False,
            }
        ],
        "isAccordionReordered": True,
        "viewMaximized": False,
        "runListHidden": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        **more,
    }


def _chart(sweep: str, key: str, kind: str, title: str, **more: object) -> dict[str, object]:
    return {
        "uuid": view_id(sweep, f"{kind}/{key}"),
        "type": kind,
        "displayName": title,
        "runsCountToCompare": 100,
        "metricSectionId": "lossweep",
        "deleted": False,
        "isGenerated": False,
        **more,
    }


def _bar(sweep: str, metric: str) -> dict[str, object]:
    return _chart(sweep, metric, "BAR", metric, metricKey=metric)


def _line(sweep: str, metric: str) -> dict[str, object]:
    return _chart(
        sweep,
        metric,
        "LINE",
        metric,
        metricKey=metric,
        selectedMetricKeys=[metric],
        lineSmoothness=0,
        xAxisKey="step",
        scaleType="linear",
        xAxisScaleType="linear",
    )


def _scatter(sweep: str, x: str, y: str, title: str) -> dict[str, object]:
    axes = {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}
    return _chart(sweep, f"{x}/{y}", "SCATTER", title, **axes)
