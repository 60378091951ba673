"""Looks whether MLflow still shows what the study holds, without writing a thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossweep.dashboards.mlflow.address import check_store
from lossweep.dashboards.mlflow.content import ROLE_TAG, TRIAL_TAG, trial_content
from lossweep.dashboards.mlflow.internals.names import PARENT_TAG
from lossweep.dashboards.mlflow.outage import reaching
from lossweep.dashboards.mlflow.store import EXPERIMENT, agrees, quiet_mlflow, runs_of
from lossweep.dashboards.mlflow.sweep_content import sweep_content
from lossweep.search.addresses import sqlite_file
from lossweep.search.study.history import SweepHistory

if TYPE_CHECKING:
    from mlflow.entities import Run


def missing_runs(history: SweepHistory, tracking_uri: str, experiment: str = EXPERIMENT) -> tuple[int, ...]:
    """Return the numbers of the trials that have no run in MLflow, two, or one that says something else.

    All of them, those of the confirmation included, when the sweep's own run is missing or says something
    else; else one that isn't nested in it counts, too.

    A run's state, tags, parameters, newest values and fingerprint are compared; `sync` reads every value.

    Args:
        history: the sweep as its database has it.
        tracking_uri: MLflow's store. One that is a SQLite file which does not exist is not created.
        experiment: the project's experiment.

    Raises:
        UserError: when the store can't be reached, or can never work.
    """
    numbers = tuple(trial.number for trial in history.recorded)
    database = sqlite_file(tracking_uri)
    if database is not None and not database.exists():
        return numbers
    check_store(tracking_uri)
    quiet_mlflow()
    import mlflow

    runs: dict[str, list[Run]] = {}
    parents: list[Run] = []
    with reaching(tracking_uri):
        client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        found = client.get_experiment_by_name(experiment)
        if found is None or found.lifecycle_stage != "active":
            return numbers
        for run in runs_of(client, found.experiment_id, history):
            if run.data.tags.get(ROLE_TAG) == "sweep":
                parents.append(run)
            else:
                runs.setdefault(run.data.tags.get(TRIAL_TAG, ""), []).append(run)
    if len(parents) != 1 or not _stands(parents[0], history):
        return numbers
    wrong = []
    for trial in history.recorded:
        its = runs.get(str(trial.number), [])
        right = (
            len(its) == 1
            and its[0].data.tags.get(PARENT_TAG) == parents[0].info.run_id
            and agrees(its[0], trial_content(trial, history))
        )
        if not right:
            wrong.append(trial.number)
    return tuple(wrong)


def _stands(run: Run, history: SweepHistory) -> bool:
    """Whether the sweep's own run has its state, its settings and its standing result."""
    content = sweep_content(history)
    return run.info.status == content.status and content.tags.items() <= run.data.tags.items()


def run_of(history: SweepHistory, number: int, tracking_uri: str, experiment: str = EXPERIMENT) -> str | None:
    """Return the id of a trial's run in MLflow, or None when there is none.

    Raises:
        UserError: when the store can't be reached, or can never work.
    """
    database = sqlite_file(tracking_uri)
    if database is not None and not database.exists():
        return None
    check_store(tracking_uri)
    quiet_mlflow()
    import mlflow

    with reaching(tracking_uri):
        client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        found = client.get_experiment_by_name(experiment)
        runs = runs_of(client, found.experiment_id, history) if found is not None else ()
        return next((str(r.info.run_id) for r in runs if r.data.tags.get(TRIAL_TAG) == str(number)), None)
