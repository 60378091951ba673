"""A winner in MLflow's registry: a model linked to its run, figures and data, with a version and an alias."""

from __future__ import annotations

from pathlib import Path

from lossweep.dashboards.mlflow.address import check_store
from lossweep.dashboards.mlflow.content import (
    SWEEP_ID_TAG,
    SWEEP_TAG,
    TAG_LENGTH,
    sweep_id,
    texts,
    trial_content,
)
from lossweep.dashboards.mlflow.dataset import KnownData
from lossweep.dashboards.mlflow.logged_model import Linked, logged_model, of_the_model
from lossweep.dashboards.mlflow.outage import reaching
from lossweep.dashboards.mlflow.registry import CHAMPION, Published, check_names, register, registry_tags
from lossweep.dashboards.mlflow.store import EXPERIMENT, MlflowStore
from lossweep.dashboards.mlflow.sweep_content import sweep_content
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.upkeep.models import SweepModel
from lossweep.spaces.files.errors import Problem


def publish(
    model: SweepModel,
    folder: Path,
    history: SweepHistory,
    tracking_uri: str,
    *,
    name: str,
    alias: str = CHAMPION,
    doubt: Problem | None = None,
    experiment: str = EXPERIMENT,
    artifacts: Path | None = None,
) -> Published:
    """Register a model of a sweep, and let the alias point to it.

    The same model is registered once: a second call only writes its tags again and moves the alias.

    Args:
        model: from `search.upkeep.models.model_of`.
        folder: what `search.exporting.folder.write_folder` made of it.
        history: the sweep as its database has it.
        tracking_uri: MLflow's store.
        name: to register it under.
        alias: to point to it.
        doubt: why no verdict stands behind it, which its tags then say; None: one does.
        experiment: the project's experiment.
        artifacts: where a new experiment keeps its artifacts.

    Raises:
        UserError: the store can't be reached or can never work, or MLflow takes no such name or alias.
    """
    check_names(name, alias)
    check_store(tracking_uri)
    with reaching(tracking_uri):
        store = MlflowStore(tracking_uri, history, experiment, artifacts)
        store.reconcile(history)  # the run that the model is linked to holds all that the study does
        told = registry_tags(model.exported, model.segmenter.spec, doubt)
        tags = texts(told | {SWEEP_TAG: history.name, SWEEP_ID_TAG: sweep_id(history)}, TAG_LENGTH)
        linked = _linked(model.chosen.trial, history, store)
        client = store.client
        logged = logged_model(model.segmenter, folder, client, store.experiment_id, tags, lambda: linked)
        return register(client, tracking_uri, logged, linked.run, name=name, alias=alias, tags=tags)


def _linked(trial: TrialHistory, history: SweepHistory, store: MlflowStore) -> Linked:
    """The trial's run with the figures that were taken of its weights, and the sweep's with the verdict's."""
    content = trial_content(trial, history)
    steps = {evaluation.step for evaluation in (trial.scored, trial.held_out) if evaluation is not None}
    verdict = (point for point in sweep_content(history).points if point.key.startswith("confirmed/"))
    run = store.runs[trial.number]
    return Linked(
        run=run,
        name=f"{history.name}-trial-{trial.number}",
        params=content.params,
        step=max(steps),
        figures={run: of_the_model(content.points, steps), store.parent: tuple(verdict)},
        data=KnownData.of(history),
    )
