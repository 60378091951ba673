"""Reports of MLflow's users, tried on what lossweep writes and, where it matters, on a real store."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "dashboards"))  # the sweep made by hand lies there

import histories

from lossweep.dashboards.mlflow.address import store_problem
from lossweep.dashboards.mlflow.content import safe_key, trial_content
from lossweep.dashboards.mlflow.store import MlflowStore, quiet_mlflow
from lossweep.dashboards.mlflow.sweep_content import sweep_content

SWEEP = histories.sweep(proposals=0, epochs=4)


def test_a_metric_that_is_not_finite_is_left_out() -> None:
    bad = replace(SWEEP.trials[0].evaluations[-1], gradient_norm=math.nan, losses={"total": math.inf})
    trial = replace(SWEEP.trials[0], evaluations=(*SWEEP.trials[0].evaluations[:-1], bad))
    points = trial_content(trial, SWEEP).points
    assert all(math.isfinite(point.value) for point in points)
    assert max(point.step for point in points if point.key == "loss/total") < bad.step
    assert max(point.step for point in points if point.key == "recall") == bad.step


def test_what_a_resumed_sweep_may_change_is_no_parameter() -> None:
    larger = replace(SWEEP, spec_yaml=SWEEP.spec_yaml.replace("trials: 16", "trials: 32"), budget_trials=32)
    before, after = sweep_content(SWEEP), sweep_content(larger)
    assert before.params == after.params
    assert (before.tags["budget.trials"], after.tags["budget.trials"]) == ("16", "32")


@pytest.mark.parametrize("name", ["f1/a@b", "recall/<b>", "iou/é, ü", "ap/..", "f1/" + "x" * 300, "recall/a"])
def test_every_metric_s_name_is_one_that_mlflow_takes(name: str) -> None:
    quiet_mlflow()
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(safe_key(name))
    assert (safe_key(name) == name) is (name == "recall/a")


def test_a_folder_for_a_store_is_refused_before_the_start() -> None:
    assert "no longer records into folders" in str(store_problem("./mlruns"))


def test_a_resumed_sweep_goes_on_in_the_runs_it_has(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    first = MlflowStore(uri, SWEEP)
    first.start_trial(SWEEP.trials[0], SWEEP)
    second = MlflowStore(uri, SWEEP)
    assert (second.parent, second.runs) == (first.parent, first.runs)
    second.end_trial(SWEEP.trials[0], SWEEP)
    second.end_trial(SWEEP.trials[0], SWEEP)  # told twice, written once
    history = second.client.get_metric_history(second.runs[0], "recall")
    assert [metric.step for metric in history] == [e.step for e in SWEEP.trials[0].evaluations]
