"""Reads an MLflow store back, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from lossweep.dashboards.mlflow.content import ROLE_TAG, TRIAL_TAG, safe_key, times
from lossweep.search.study.history import SweepHistory


@dataclass
class ReadRun:
    run_id: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    values: dict[str, list[tuple[int, float]]]
    datasets: list[tuple[str, str]]


def read(uri: str, experiment: str = "lossweep") -> tuple[list[ReadRun], dict[int, ReadRun]]:
    """The parent runs, and the child runs by trial number; fails on a trial that has two."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    parents: list[ReadRun] = []
    children: dict[int, ReadRun] = {}
    for run in client.search_runs([found.experiment_id], max_results=5000):
        values = {
            key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)]
            for key in run.data.metrics
        }
        data = [(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs]
        read_run = ReadRun(
            run.info.run_id, run.info.status, dict(run.data.params), dict(run.data.tags), values, data
        )
        if run.data.tags[ROLE_TAG] == "sweep":
            parents.append(read_run)
        else:
            number = int(run.data.tags[TRIAL_TAG])
            assert number not in children, f"two runs of trial {number}"
            children[number] = read_run
    return parents, children


def assert_equal(uri: str, sweep: SweepHistory) -> None:
    """MLflow equals the study, number by number: written here anew, not by the code that writes MLflow."""
    parents, children = read(uri)
    assert len(parents) == 1
    assert sorted(children) == [trial.number for trial in sweep.recorded]
    for trial in sweep.recorded:
        run = children[trial.number]
        assert run.tags["mlflow.parentRunId"] == parents[0].run_id
        assert run.tags["outcome"] == trial.outcome.value
        assert run.status == trial.outcome.mlflow_status
        assert run.tags["reason"] == trial.reason
        confirms = trial.confirms is not None
        assert run.tags[ROLE_TAG] == ("confirmation" if confirms else "trial")
        for name, value in trial.parameters.items():
            assert run.params[name] == str(value)
        expected: dict[str, list[tuple[int, float]]] = {}
        for evaluation, _ in times(trial, sweep):
            figures = dict(evaluation.metrics) | {f"loss/{k}": v for k, v in evaluation.losses.items()}
            figures["train/gradient_norm"] = evaluation.gradient_norm
            figures["train/learning_rate"] = evaluation.learning_rate
            figures["train/images_per_second"] = evaluation.images_per_second
            figures["train/seconds"] = evaluation.seconds
            figures["schedule/phase"] = evaluation.phase
            figures["schedule/cycle"] = evaluation.cycle
            figures["schedule/epoch"] = evaluation.epoch
            figures["threshold"] = evaluation.threshold
            figures |= {f"threshold/{k}": v for k, v in evaluation.floor_thresholds.items()}
            figures |= {f"time/{k}": v / evaluation.seconds for k, v in evaluation.spent.items()}
            figures |= {f"use/{k}": v for k, v in evaluation.used.items()}
            for name, value in figures.items():
                expected.setdefault(safe_key(name), []).append((evaluation.step, float(value)))
        if trial.held_out is not None:
            read_once = {**trial.held_out.metrics, "score": trial.held_out.score}
            for name, value in read_once.items():
                expected[safe_key(f"test/{name}")] = [(trial.held_out.step, value)]
        held = {key: sorted(values) for key, values in run.values.items() if not key.startswith("best/")}
        assert held == {key: sorted(values) for key, values in expected.items()}
        for key, values in run.values.items():
            if key.startswith("best/"):
                assert len(values) == 1, key
        if confirms:
            assert not any(key.startswith("best/") for key in run.values)
        elif trial.outcome.is_final and trial.score is not None and trial.evaluations:
            assert run.values["best/score"][0][1] == trial.score
