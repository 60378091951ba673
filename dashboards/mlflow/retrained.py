"""What ``lossweep train`` trained, in MLflow: a run of its own, and its model in the registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lossweep.dashboards.mlflow.address import check_store
from lossweep.dashboards.mlflow.content import (
    NAME_LENGTH,
    PARAMETER_LENGTH,
    ROLE_TAG,
    SWEEP_TAG,
    TAG_LENGTH,
    Point,
    RunContent,
    evaluation_points,
    milliseconds,
    points_of,
    seconds_so_far,
    texts,
)
from lossweep.dashboards.mlflow.dataset import KnownData
from lossweep.dashboards.mlflow.internals.names import RUN_NAME_TAG
from lossweep.dashboards.mlflow.logged_model import Linked, link_figures, logged_model, of_the_model
from lossweep.dashboards.mlflow.outage import reaching
from lossweep.dashboards.mlflow.registry import CHAMPION, Published, check_names, register, registry_tags
from lossweep.dashboards.mlflow.store import EXPERIMENT, connect, create_run
from lossweep.search.exporting.retraining import AGAIN, Retrained
from lossweep.spaces.files.errors import Problem
from lossweep.spaces.schedules.schedule_file import ScheduleFile

if TYPE_CHECKING:
    from lossweep.trainers.inference.segmenter import Segmenter

TRAINING: Final = "training"
"""The role of the run of a training by an exported schedule, which belongs to no sweep's runs."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A training by an exported schedule, as it is to be shown.

    Attributes:
        retrained: what came of it.
        exported: its schedule file, with where the schedule comes from.
        segmenter: the model in use.
        sweep: name of the sweep whose data and settings it was trained with.
        started: when, UTC.
        test: figures of the test split, by name; None where it was not read.
    """

    retrained: Retrained
    exported: ScheduleFile
    segmenter: Segmenter
    sweep: str
    started: datetime
    test: Mapping[str, float] | None = None


def publish_training(
    trained: TrainedModel,
    folder: Path,
    tracking_uri: str,
    *,
    name: str,
    alias: str = CHAMPION,
    doubt: Problem | None = None,
    experiment: str = EXPERIMENT,
    artifacts: Path | None = None,
) -> Published:
    """Write a training as a run of its own, register its model, and let the alias point to it.

    The same model has one run and is registered once: a second call only writes its tags again and moves the
    alias.

    Args:
        trained: the training.
        folder: what `search.exporting.folder.write_folder` made of it.
        tracking_uri: MLflow's store, which is made where there is none.
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
    content = training_content(trained, doubt)
    weights = trained.retrained.weights
    data = KnownData(trained.sweep, weights.data.fingerprint, weights.data.prior)
    with reaching(tracking_uri):
        client, found = connect(tracking_uri, experiment, artifacts)

        def linked() -> Linked:
            run = create_run(client, found, content, data)
            client.log_text(run, trained.exported.to_yaml(), "schedule.yaml")
            step = weights.scored.step
            figures = {run: of_the_model(content.points, {step})}
            return Linked(run, f"{trained.sweep}-trained", content.params, step, figures, data)

        tags = _model_tags(trained, doubt)
        logged = logged_model(trained.segmenter, folder, client, found, tags, linked)
        run = str(client.get_logged_model(logged).source_run_id)
        held = client.get_run(run).data.metrics
        late = tuple(each for each in content.points if each.key not in held and each.key.startswith("test/"))
        link_figures(client, logged, {run: late}, data)  # the test split was read in a later call
        return register(client, tracking_uri, logged, run, name=name, alias=alias, tags=tags)


def training_content(trained: TrainedModel, doubt: Problem | None) -> RunContent:
    """Return the run of a training: its figures at each evaluation, and those of the weights that it gave.

    Args:
        trained: the training.
        doubt: why no verdict stands behind it, if none does.
    """
    retrained, told = trained.retrained, trained.exported.provenance
    plan, start = retrained.weights.plan, milliseconds(trained.started, trained.started)
    points = tuple(_points(trained, start))
    schedule = str(plan.schedule)
    name = f"train, seed {plan.seed}: {schedule}"[:NAME_LENGTH]
    params = {
        "schedule": schedule,
        "cycles": plan.schedule.cycles,
        "seed": plan.seed,
        "epochs": plan.epochs,
        "data": told["data"],
        "from_sweep": told.get("sweep", "none"),
        "from_trial": told.get("trial", "none"),
    }
    return RunContent(
        name=name,
        status="FINISHED",
        tags={**_model_tags(trained, doubt), ROLE_TAG: TRAINING, RUN_NAME_TAG: name},
        params=texts(params, PARAMETER_LENGTH),
        points=points,
        started=start,
        ended=max(point.at for point in points),
    )


def _points(trained: TrainedModel, start: int) -> Iterator[Point]:
    evaluations, best = trained.retrained.evaluations, trained.retrained.weights.scored
    at = start
    for evaluation, seconds in zip(evaluations, seconds_so_far(evaluations), strict=True):
        at = start + round(1000.0 * seconds)
        yield from evaluation_points(evaluation, at)
    figures = {f"best/{name}": value for name, value in best.metrics.items() if "/" not in name}
    figures |= {f"test/{name}": value for name, value in (trained.test or {}).items()}
    yield from points_of(figures | {"best/step": float(best.step)}, at, best.step)


def _model_tags(trained: TrainedModel, doubt: Problem | None) -> dict[str, str]:
    """What the registry tells of any model; and that this one is another training than the confirmed ones."""
    told = trained.exported.provenance
    tags = registry_tags(trained.exported, trained.segmenter.spec, doubt)
    tags |= {SWEEP_TAG: told.get("sweep", "none"), AGAIN: told[AGAIN]}
    return texts(tags, TAG_LENGTH)
