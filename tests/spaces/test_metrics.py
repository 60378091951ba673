"""The records of the metrics, and that every list of metrics comes from them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lossweep.dashboards.report.plots.timeline import SERIES
from lossweep.dashboards.result import metric_words
from lossweep.dashboards.terminal.tables import FIGURES
from lossweep.spaces.metric_names import (
    ALLOWED,
    FIXED_NAMES,
    LOWER_IS_BETTER,
    PIXEL,
    canonical_metric,
    higher_is_better,
    is_metric,
    metric_of,
)
from lossweep.spaces.metric_table import table, updated
from lossweep.spaces.metrics import FAMILIES, METRICS, Metric, over_training, shown_in

ROOT = Path(__file__).parents[2]
EVERY = (*METRICS, *FAMILIES)
RECORDS = pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)


def names(metrics: tuple[Metric, ...]) -> list[str]:
    return [metric.name for metric in metrics]


def test_names_and_places_are_each_of_one_metric() -> None:
    assert len({metric.name for metric in EVERY}) == len(EVERY)
    places = [metric.place for metric in EVERY if metric.place]
    assert sorted(places) == list(range(1, len(places) + 1))


@RECORDS
def test_a_record_is_consistent(metric: Metric) -> None:
    drawn = {"timeline", "charts", "progress"} & set(metric.views)
    assert bool(drawn) == bool(metric.place)
    assert metric.name.startswith("tuned_") == (metric.point == "tuned" and metric.name != "max_f1")
    assert (metric.point == "curve") <= (metric.group == "curve")
    assert metric.definition
    assert metric.spelling in ALLOWED.split(", ")
    assert f"`{metric.spelling}`" in table("objects" if metric.of_objects else "pixels")
    example = f"{metric.name}_0.5" if metric.parameter else metric.name
    found = metric_of(f"{example}/car")
    assert found is not None
    assert (found.name, found.direction, found.point) == (example, metric.direction, metric.point)


def test_the_lists_are_what_they_were() -> None:
    assert (
        *("precision", "recall", "f1", "iou"),
        *("tuned_precision", "tuned_recall", "tuned_f1", "tuned_iou", "ap", "max_f1"),
        *("object_precision", "object_recall", "object_f1"),
        *("tuned_object_precision", "tuned_object_recall", "tuned_object_f1"),
        *("object_recall_small", "object_recall_middle", "object_recall_large"),
        *("tuned_object_recall_small", "tuned_object_recall_middle", "tuned_object_recall_large"),
        *("count_error", "tuned_count_error"),
    ) == FIXED_NAMES
    assert PIXEL == ("precision", "recall", "f1", "iou")
    assert LOWER_IS_BETTER == ("count_error", "tuned_count_error")
    assert ALLOWED.endswith(
        ", tuned_count_error, fbeta_B, recall_at_precision_P, precision_at_recall_R, package.module:name"
    )


def test_views_show_what_they_did() -> None:
    pixels = ["precision", "recall", "f1", "tuned_precision", "tuned_recall", "tuned_f1"]
    assert names(shown_in("table")) == [*pixels, "ap", "tuned_object_f1"]
    assert names(shown_in("table", "pixel", "tuned", "tuned_object", "curve")) == [
        *pixels,
        "tuned_object_f1",
        "ap",
    ]
    assert names(shown_in("epoch")) == ["precision", "recall", "f1", "tuned_f1", "ap"]
    assert [metric.label for metric in over_training("progress")] == ["R", "P", "F1", "AP"]
    assert names(over_training("charts")) == ["recall", "precision", "f1", "ap", "tuned_f1", "object_f1"]
    assert (
        *("recall", "precision", "f1", "ap", "tuned_f1"),
        *("tuned_recall", "tuned_precision", "object_f1", "tuned_object_f1"),
    ) == SERIES
    assert list(FIGURES) == [*pixels, "ap"]
    heads = ["P", "R", "F1", "P tuned", "R tuned", "F1 tuned", "AP"]
    assert [column.title for column in FIGURES.values()] == heads


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("f1", "F1 (at 0.5)"),
        ("tuned_iou/ship", "IoU (tuned threshold), ship"),
        ("max_f1", "max F1"),
        ("object_recall", "object recall (at 0.5)"),
        ("tuned_object_recall_small", "object recall, small (tuned threshold)"),
        ("count_error", "count error (at 0.5)"),
        ("tuned_count_error", "count error (tuned threshold)"),
        ("recall_at_precision_0.2", "recall at precision 0.2"),
        ("fbeta_2", "fbeta 2"),
        ("my_module:boundary_f1", "boundary f1"),
        ("no_such_metric", "no such metric"),
    ],
)
def test_metrics_in_words(name: str, words: str) -> None:
    assert metric_words(name) == words


@pytest.mark.parametrize(
    ("written", "held", "higher"),
    [
        ("my_module:boundary_f1", "my_module:boundary_f1", True),
        ("my.package.mod:Own", "my.package.mod:Own", True),
        ("my_module:error:minimize", "my_module:error:minimize", False),
        ("my_module:score:maximize", "my_module:score", True),
    ],
)
def test_a_users_own_metric_tells_its_direction_by_its_name(written: str, held: str, higher: bool) -> None:
    assert canonical_metric(written) == held
    assert higher_is_better(held) is higher


@pytest.mark.parametrize("name", ["my_module:", ":f", "a-b:f", "m:f:lower", "m:f/car", "m:f:minimize/car"])
def test_what_is_no_import_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"import path|of all classes"):
        canonical_metric(name)
    assert not is_metric(name)


def test_the_page_has_the_tables_of_the_records() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert updated(page) == page, "run: python -m lossweep.spaces.metric_table docs/metrics.md"
    with pytest.raises(ValueError, match="no table between"):
        updated(page.replace("<!-- metrics: objects -->", ""))


def test_no_list_of_metrics_is_written_out_anywhere_else() -> None:
    found = []
    for layer in ("spaces", "trainers", "search", "dashboards", "lossweep/commands"):
        for file in sorted((ROOT / layer).rglob("*.py")):
            if file != ROOT / "spaces" / "metrics.py":
                found += [f"{file.relative_to(ROOT)}:{line}" for line in written_out(file.read_text("utf-8"))]
    assert found == []


def written_out(source: str) -> list[int]:
    """The lines on which three or more metrics stand in a list, a tuple, a set or a dictionary's keys."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
            parts = node.keys if isinstance(node, ast.Dict) else node.elts
            words = [part.value for part in parts if isinstance(part, ast.Constant)]
            if sum(isinstance(word, str) and word in FIXED_NAMES for word in words) >= 3:
                lines.append(node.lineno)
    return lines


def test_written_out_lists_are_found() -> None:
    assert written_out('x = ("recall", "f1", "ap")\ny = {"recall": 1, "f1": 2, "iou": 3}') == [1, 2]
    assert written_out('x = ("recall", "f1", "loss")') == []
