"""MLflow's registry: a logged model as a version of a name, with its tags, and an alias that points there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lossweep.dashboards.mlflow.content import TRIAL_TAG
from lossweep.dashboards.mlflow.internals.names import alias_problem, registered_name_problem
from lossweep.dashboards.mlflow.internals.registry import addressed
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.schedules.schedule_file import ScheduleFile

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from lossweep.trainers.inference.spec import SegmenterSpec

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


def register(
    client: MlflowClient,
    tracking_uri: str,
    logged: str,
    run: str,
    *,
    name: str,
    alias: str,
    tags: Mapping[str, str],
) -> Published:
    """Let a name have a logged model as a version, unless it has it already, and the alias point to it.

    Args:
        client: of the store.
        tracking_uri: its address.
        logged: MLflow's id of the model.
        run: that it is an output of.
        name: to register it under.
        alias: to point to it.
        tags: of the version; see `registry_tags`.
    """
    version = _version(client, name, logged)
    anew = version is None
    if version is None:
        with addressed(tracking_uri):
            version = _register(client, name, logged, run)
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    if ANYWAY_TAG not in tags:  # what was doubted once, and is no more
        if ANYWAY_TAG in client.get_model_version(name, version).tags:
            client.delete_model_version_tag(name, version, ANYWAY_TAG)
        if ANYWAY_TAG in client.get_logged_model(logged).tags:
            client.delete_logged_model_tag(logged, ANYWAY_TAG)
    client.set_registered_model_alias(name, alias, version)
    return Published(name, version, alias, logged, anew)


def registry_tags(exported: ScheduleFile, spec: SegmenterSpec, doubt: Problem | None) -> dict[str, Any]:
    """Return what a person looks for in the registry: how a model decides, and what stands behind it.

    Args:
        exported: its schedule, with where it comes from.
        spec: of the model.
        doubt: why no verdict stands behind it; None: one does.
    """
    told = exported.provenance
    verdict = told.get("verdict", {})
    return {
        TRIAL_TAG: str(told.get("trial", "none")),
        "lossweep.version": told["lossweep"],
        "schedule": str(exported.schedule),
        "seed": told["seed"],
        "data": told["data"],
        "classes": ", ".join(spec.classes),
        "threshold": repr(spec.threshold) if spec.is_binary else "the likeliest class",
        "verdict": verdict.get("word", "none"),
        "verdict.sentence": verdict.get("sentence", "not confirmed"),
        HOLDS_TAG: str(doubt is None).lower(),
        **({ANYWAY_TAG: doubt.message} if doubt is not None else {}),
    }


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
