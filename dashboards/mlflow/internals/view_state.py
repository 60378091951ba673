"""How MLflow keeps a view of its experiment page, and how a link opens it.

MLflow 3.17 keeps a view as an experiment tag ``mlflow.sharedViewState.<id>``: an envelope of ``name``,
``createdAt``, ``updatedAt`` and ``state``, the state itself being JSON in a string. None of this is
documented; the browser tests hold it. Traps: a tag holds at most 20,000 characters; ``groupBy.mode`` must be
lower case; a search term in the address makes the page ignore the view; without ``workflowType`` the page
opens in its mode for LLM traces. A page that knows no such view opens as it always does.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

TAG_PREFIX: Final = "mlflow.sharedViewState."
_NAMESPACE: Final = uuid.UUID("6f1d2b1e-5a53-4c4b-9a63-1f0b6c1d9a11")
WORKFLOW: Final = {"workflowType": "machine_learning"}


def view_id(sweep: str, view: str) -> str:
    """Return the key of a sweep's view: stable, so that it is written over and not doubled."""
    return uuid.uuid5(_NAMESPACE, f"{sweep}/{view}").hex[:16]


def shared_view(name: str, at: int, state: Mapping[str, Any]) -> str:
    """Return the value of a view's tag; ``at`` in milliseconds since 1970."""
    envelope = {
        "name": name,
        "createdAt": at,
        "updatedAt": at,
        "state": json.dumps(state, separators=(",", ":")),
    }
    return json.dumps(envelope, separators=(",", ":"))


def view_query(view: str, mode: str) -> str:
    """Return the query that opens a view as ``TABLE`` or ``CHART``."""
    return urlencode({"viewStateShareKey": view, "compareRunsMode": mode, **WORKFLOW})


def view_state(
    trials: str, order: Mapping[str, object], columns: Sequence[str], charts: Sequence[object], **more: object
) -> dict[str, Any]:
    """Return what the page shows.

    Args:
        trials: MLflow's search term for the runs.
        order: how they are sorted, in the page's own keys.
        columns: of the table.
        charts: from `bar`, `line`, `scatter` and `chart`.
        more: written over all else.
    """
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


def chart(sweep: str, key: str, kind: str, title: str, **more: object) -> dict[str, object]:
    """Return a chart.

    Args:
        sweep: whose view it stands in.
        key: what tells it from others of its kind.
        kind: MLflow's name for the kind of chart.
        title: over it.
        more: what its kind needs.
    """
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


def bar(sweep: str, metric: str) -> dict[str, object]:
    """Return a bar a run."""
    return chart(sweep, metric, "BAR", metric, metricKey=metric)


def line(sweep: str, metric: str) -> dict[str, object]:
    """Return a line a run, over optimizer steps."""
    return chart(
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


def scatter(sweep: str, x: str, y: str, title: str) -> dict[str, object]:
    """Return a mark a run in the plane of two metrics."""
    axes = {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}
    return chart(sweep, f"{x}/{y}", "SCATTER", title, **axes)
