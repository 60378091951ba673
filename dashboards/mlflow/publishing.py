"""A winner in MLflow's registry: a model linked to its run, figures and data, with a version and an alias."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lossweep.dashboards.mlflow.address import check_store
from lossweep.dashboards.mlflow.content import (
    SWEEP_ID_TAG,
    SWEEP_TAG,
    TAG_LENGTH,
    TRIAL_TAG,
    sweep_id,
    texts,
)
from lossweep.dashboards.mlflow.internals.names import alias_problem, registered_name_problem
from lossweep.dashboards.mlflow.internals.registry import addressed
from lossweep.dashboards.mlflow.logged_model import logged_model
from lossweep.dashboards.mlflow.outage import reaching
from lossweep.dashboards.mlflow.store import EXPERIMENT, MlflowStore
from lossweep.search.study.history import SweepHistory
from lossweep.search.upkeep.models import SweepModel
from lossweep.spaces.files.errors import Problem, UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION: Final = "champion"
"""The alias that a service loads: ``models:/NAME@champion``."""

HOLDS_TAG: Final = "verdict.holds"
ANYWAY_TAG: Final = "published_anyway"


@dataclass(frozen=True, slots=True)
class Published:
    """A registered model.

    Attributes:
        name: registered under.
        version: of that name.
        alias: that points to it.
        model: MLflow's id of the model.
        anew: whether it was registered now, rather than found as it is.
    """

    name: str
    version: str
    alias: str
    model: str
    anew: bool

    @property
    def uri(self) -> str:
        """What ``mlflow.pyfunc.load_model`` takes."""
        return f"models:/{self.name}@{self.alias}"


def check_names(name: str, alias: str) -> None:
    """Check what a model is to be registered as, before anything is written.

    Raises:
        UserError: MLflow takes no such name or alias.
    """
    problems = [registered_name_problem(name), alias_problem(alias)]
    if found := [problem for problem in problems if problem is not None]:
        raise UserError(found)


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
        tags = texts(_tags(model, history, doubt), TAG_LENGTH)
        logged, client = logged_model(model, folder, history, store, tags), store.client
        version = _version(client, name, logged)
        anew = version is None
        if version is None:
            run = store.runs[model.chosen.trial.number]
            with addressed(tracking_uri):
                version = _register(client, name, logged, run)
        for key, value in tags.items():
            client.set_model_version_tag(name, version, key, value)
        if doubt is None and ANYWAY_TAG in client.get_model_version(name, version).tags:
            client.delete_model_version_tag(name, version, ANYWAY_TAG)
        if doubt is None and ANYWAY_TAG in client.get_logged_model(logged).tags:
            client.delete_logged_model_tag(logged, ANYWAY_TAG)
        client.set_registered_model_alias(name, alias, version)
    return Published(name, version, alias, logged, anew)


def _version(client: MlflowClient, name: str, logged: str) -> str | None:
    """The version of a registered model that is this one."""
    versions = client.search_model_versions(f"name='{name}'")
    return next((str(each.version) for each in versions if each.source == _source(logged)), None)


def _source(logged: str) -> str:
    """By which a version and its page know the model."""
    return f"models:/{logged}"


def _register(client: MlflowClient, name: str, logged: str, run: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(name, _source(logged), run_id=run, model_id=logged)
    return str(made.version)


def _tags(model: SweepModel, history: SweepHistory, doubt: Problem | None) -> dict[str, object]:
    """What a person looks for in the registry: where it comes from, how it decides, what stands behind it."""
    told, spec = model.exported.provenance, model.segmenter.spec
    verdict = told.get("verdict", {})
    return {
        SWEEP_TAG: history.name,
        SWEEP_ID_TAG: sweep_id(history),
        TRIAL_TAG: str(model.chosen.trial.number),
        "lossweep.version": told["lossweep"],
        "schedule": str(model.exported.schedule),
        "seed": told["seed"],
        "data": told["data"],
        "classes": ", ".join(spec.classes),
        "threshold": repr(spec.threshold) if spec.is_binary else "the likeliest class",
        "verdict": verdict.get("word", "none"),
        "verdict.sentence": verdict.get("sentence", "not confirmed"),
        HOLDS_TAG: str(doubt is None).lower(),
        **({ANYWAY_TAG: doubt.message} if doubt is not None else {}),
    }
