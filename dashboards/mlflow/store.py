"""Writes what `content` and `sweep_content` say into an MLflow store, and mends one that differs."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lossweep.dashboards.mlflow.content import (
    DIGEST_TAG,
    ROLE_TAG,
    SWEEP_ID_TAG,
    TRIAL_TAG,
    Point,
    RunContent,
    sweep_id,
    trial_content,
)
from lossweep.dashboards.mlflow.database import make_database, settle
from lossweep.dashboards.mlflow.dataset import KnownData
from lossweep.dashboards.mlflow.held import Held
from lossweep.dashboards.mlflow.internals.locations import forget_locations
from lossweep.dashboards.mlflow.internals.names import (
    KIND_TAG,
    LOGGERS,
    MACHINE_LEARNING,
    PARENT_TAG,
    QUIET,
)
from lossweep.dashboards.mlflow.sweep_content import sweep_content
from lossweep.dashboards.mlflow.views import saved_views
from lossweep.search.addresses import sqlite_file
from lossweep.search.study.history import SweepHistory, TrialHistory

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run, RunTag

EXPERIMENT: Final = "lossweep"

_METRICS_A_BATCH: Final = 800
_TEXTS_A_BATCH: Final = 90


def quiet_mlflow() -> None:
    """Switch off MLflow's telemetry, git look-ups, logs and long retries; call it before importing MLflow."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def connect(
    tracking_uri: str, experiment: str = EXPERIMENT, artifacts: Path | None = None
) -> tuple[MlflowClient, str]:
    """Connect to a store, and return MLflow's client with the id of the experiment, created when missing.

    A SQLite file that is not there is made, and one that was moved with its home is set right.

    Args:
        tracking_uri: ``sqlite:///...``, ``postgresql://...`` or ``http://...``.
        experiment: its name.
        artifacts: where a new experiment keeps its artifacts; None leaves it to MLflow. By default it is
            ``mlflow-artifacts`` beside the database when the store is a SQLite file.
    """
    quiet_mlflow()
    import mlflow

    database = sqlite_file(tracking_uri)
    if database is not None:
        artifacts = artifacts or database.parent / "mlflow-artifacts"
        make_database(database, artifacts)
        settle(database, artifacts, experiment)
        forget_locations()
    client = mlflow.MlflowClient(tracking_uri=tracking_uri)
    found = client.get_experiment_by_name(experiment)
    if found is not None:
        if found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
        return client, str(found.experiment_id)
    location = None
    if artifacts is not None:
        artifacts.mkdir(parents=True, exist_ok=True)
        location = artifacts.absolute().as_uri()
    tags = {KIND_TAG: MACHINE_LEARNING}
    return client, str(client.create_experiment(experiment, artifact_location=location, tags=tags))


def create_run(client: MlflowClient, experiment: str, content: RunContent, data: KnownData) -> str:
    """Write a run that has ended, whole; return its id. One that could not be written is left FAILED.

    Args:
        client: of the store.
        experiment: id of the experiment.
        content: of the run.
        data: that it is of.
    """
    from mlflow.entities import Metric, Param

    made = client.create_run(experiment, content.started, dict(content.tags), run_name=content.name)
    run = str(made.info.run_id)
    try:
        client.log_inputs(run, datasets=[data.as_input()])
        params = [Param(key, value) for key, value in content.params.items()]
        client.log_batch(run, params=params, synchronous=True)
        for points in _chunks(content.points, _METRICS_A_BATCH):
            metrics = [Metric(point.key, point.value, point.at, point.step) for point in points]
            client.log_batch(run, metrics=metrics, synchronous=True)
    except BaseException:
        client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run, content.status, content.ended)
    return run


class MlflowStore:
    """One sweep's runs in one MLflow store.

    Attributes:
        client: MLflow's own.
        experiment_id: of the project's experiment, created when missing.
        parent: run id of the sweep.
        runs: run ids of the trials by number.
        requests: so many batches of figures, parameters and tags were written.
    """

    def __init__(
        self,
        tracking_uri: str,
        sweep: SweepHistory,
        experiment: str = EXPERIMENT,
        artifacts: Path | None = None,
    ) -> None:
        """Connect, find this sweep's runs and create its parent run when there is none.

        Args:
            tracking_uri: the store; see `connect`.
            sweep: whose runs.
            experiment: the experiment's name.
            artifacts: where a new experiment keeps its artifacts; see `connect`.
        """
        self.client, self.experiment_id = connect(tracking_uri, experiment, artifacts)
        self._data = KnownData.of(sweep)
        self.parent = ""
        self.runs: dict[int, str] = {}
        self.requests = 0
        self._held: defaultdict[str, Held] = defaultdict(Held)
        """What was written of runs that have not ended."""
        self._find(sweep)
        if not self.parent:
            self.parent = self._create(sweep_content(sweep))
        self.client.log_text(self.parent, sweep.spec_yaml, "sweep.yaml")  # a resumed one may have changed
        for key, value in saved_views(sweep).items():
            self.client.set_experiment_tag(self.experiment_id, key, value)

    def start_trial(self, trial: TrialHistory, sweep: SweepHistory, since: Sequence[Point] = ()) -> None:
        """Create the trial's run, or take up the one it has, with the metrics of what it did since then."""
        content = trial_content(trial, sweep)
        run = self.runs.get(trial.number)
        if run is None:
            run = self.runs[trial.number] = self._create(content, parent=self.parent)
            self.client.log_text(run, _schedule_yaml(trial), "schedule.yaml")
        else:
            self._enter(run, content.status)
        self._write(run, content, since)

    def log_points(self, number: int, points: Sequence[Point]) -> None:
        """Write the metrics of some evaluations."""
        self._log(self.runs[number], points)

    def end_trial(self, trial: TrialHistory, sweep: SweepHistory) -> None:
        """Write a trial's end: final figures, tags and status, and all else that may be missing."""
        if trial.number not in self.runs:
            self.start_trial(trial, sweep)
            run, content = self.runs[trial.number], trial_content(trial, sweep)
        else:
            run, content = self.runs[trial.number], trial_content(trial, sweep)
            self._write(run, content)
        if trial.traceback:
            self.client.log_text(run, trial.traceback, "traceback.txt")
        self._close(run, content)
        if trial.outcome.is_final:
            self._held.pop(run, None)

    def update_sweep(self, sweep: SweepHistory) -> None:
        """Write the sweep's standing result and state."""
        content = sweep_content(sweep)
        self._log(self.parent, content.points, content.params, content.tags)
        self._close(self.parent, content)

    def log_report(self, html: str) -> None:
        """Store the report as an artifact of the sweep."""
        self.client.log_text(self.parent, html, "report.html")

    def reconcile(self, sweep: SweepHistory, verify: bool = False) -> int:
        """Make the store equal the sweep, number by number, and return how many runs had to be changed.

        A run whose fingerprint, tags, parameters and newest values are right is taken as right; ``verify``
        reads every value of it. A run that holds a value it should not hold is deleted and written anew, for
        MLflow can't take a value back.
        """
        changed = 0
        self._held.clear()  # others may have written, too
        found = {run.info.run_id: run for run in runs_of(self.client, self.experiment_id, sweep)}
        for trial in sweep.recorded:
            content = trial_content(trial, sweep)
            run = found.get(self.runs.get(trial.number, ""))
            if run is not None and run.data.tags.get(PARENT_TAG) != self.parent:
                self.client.set_tag(run.info.run_id, PARENT_TAG, self.parent)  # the sweep's row was deleted
            elif run is not None and self._equal(run, content, verify):
                continue
            changed += 1
            if run is not None and self._holds_foreign(run, content):
                self.client.delete_run(run.info.run_id)
                del self.runs[trial.number]
            if trial.outcome.is_final or trial.ended:
                self.end_trial(trial, sweep)
            else:
                self.start_trial(trial, sweep)
        known = {str(trial.number) for trial in sweep.recorded}
        for run in found.values():
            if run.data.tags.get(ROLE_TAG) != "sweep" and run.data.tags.get(TRIAL_TAG) not in known:
                self.client.delete_run(run.info.run_id)
                changed += 1
        self.update_sweep(sweep)
        return changed

    def _find(self, sweep: SweepHistory) -> None:
        for run in list(runs_of(self.client, self.experiment_id, sweep)):  # some are deleted below
            if run.data.tags.get(ROLE_TAG) == "sweep":
                self.parent = self.parent or run.info.run_id
            elif (number := run.data.tags.get(TRIAL_TAG, "")).isdigit():
                if (
                    int(number) in self.runs
                ):  # a second run of the same trial: MLflow was written to by others
                    self.client.delete_run(run.info.run_id)
                else:
                    self.runs[int(number)] = run.info.run_id

    def _create(self, content: RunContent, parent: str | None = None) -> str:
        tags = dict(content.tags) | ({PARENT_TAG: parent} if parent else {})
        run = self.client.create_run(self.experiment_id, content.started, tags, run_name=content.name)
        held = self._held[run.info.run_id]
        held.status = run.info.status
        held.add(tags=tags)
        self.client.log_inputs(run.info.run_id, datasets=[self._data.as_input()])
        return str(run.info.run_id)

    def _write(self, run: str, content: RunContent, more: Sequence[Point] = ()) -> None:
        self._log(
            run, [*content.points, *more], content.params, {**content.tags, DIGEST_TAG: content.digest()}
        )

    def _close(self, run: str, content: RunContent) -> None:
        if content.ended is None:
            self._enter(run, content.status)
        else:
            self.client.set_terminated(run, content.status, content.ended)
            self._held[run].status = content.status

    def _enter(self, run: str, status: str) -> None:
        if self._held[run].status != status:
            self.client.update_run(run, status=status)
            self._held[run].status = status

    def _log(
        self,
        run: str,
        points: Sequence[Point] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write what a run does not hold yet in batches, one where all fits; the fingerprint, a tag, last."""
        from mlflow.entities import Metric, Param, RunTag

        held = self._held[run]
        points, params, tags = held.missing(points, params or {}, tags or {})
        metrics = list(_chunks([Metric(p.key, p.value, p.at, p.step) for p in points], _METRICS_A_BATCH))
        texts = list(_chunks([Param(k, v) for k, v in params.items()], _TEXTS_A_BATCH))
        marks = list(_chunks([RunTag(k, v) for k, v in tags.items()], _TEXTS_A_BATCH))
        # MLflow writes a batch's parameters, figures and tags in this order.
        together = max(len(metrics), len(texts), len(marks)) <= 1 and len(metrics) + len(texts) + len(marks)
        if together:
            self._batch(run, *(next(iter(parts), []) for parts in (metrics, texts, marks)))
        else:
            for chunk in metrics:
                self._batch(run, metrics=chunk)
            for chunk in texts:
                self._batch(run, params=chunk)
            for chunk in marks:
                self._batch(run, tags=chunk)
        held.add(points, params, tags)

    def _batch(
        self,
        run: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
    ) -> None:
        self.client.log_batch(run, metrics=metrics, params=params, tags=tags, synchronous=True)
        self.requests += 1

    def _equal(self, run: Run, content: RunContent, verify: bool) -> bool:
        return agrees(run, content) and not (verify and self._values(run) != _expected(content))

    def _holds_foreign(self, run: Run, content: RunContent) -> bool:
        if any(content.params.get(key) != value for key, value in run.data.params.items()):
            return True
        return bool(self._values(run) - _expected(content))

    def _values(self, run: Run) -> set[tuple[str, int, int, float]]:
        keys = [key for key in run.data.metrics if not key.startswith("system/")]
        return {
            (m.key, m.step, m.timestamp, m.value)
            for key in keys
            for m in self.client.get_metric_history(run.info.run_id, key)
        }


def runs_of(client: MlflowClient, experiment: str, sweep: SweepHistory) -> Iterator[Run]:
    """Yield the runs of a sweep, the sweep's own among them, oldest first."""
    token = None
    condition = f"tags.`{SWEEP_ID_TAG}` = '{sweep_id(sweep)}'"
    while True:
        page = client.search_runs(
            [experiment], condition, order_by=["attributes.start_time ASC"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def agrees(run: Run, content: RunContent) -> bool:
    """Whether a run's state, fingerprint, tags, parameters and newest values are as they should be."""
    newest = {point.key: point.value for point in sorted(content.points, key=lambda p: (p.step, p.at))}
    tags = {**content.tags, DIGEST_TAG: content.digest()}
    held = {key: value for key, value in run.data.metrics.items() if not key.startswith("system/")}
    return (
        run.info.status == content.status
        and dict(run.data.params) == dict(content.params)
        and all(run.data.tags.get(key) == value for key, value in tags.items())
        and held == newest
    )


def _expected(content: RunContent) -> set[tuple[str, int, int, float]]:
    return {(p.key, p.step, p.at, p.value) for p in content.points}


def _chunks(items: Sequence[Any], size: int) -> Iterable[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _schedule_yaml(trial: TrialHistory) -> str:
    return trial.schedule.to_yaml()
