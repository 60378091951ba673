"""A trained model as one of MLflow's: what is loaded, and the run, figures and data that it is linked to."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lossweep.dashboards.mlflow.content import Point, trial_content
from lossweep.dashboards.mlflow.internals.registry import forget_origin
from lossweep.dashboards.mlflow.store import MlflowStore, dataset_named
from lossweep.dashboards.mlflow.sweep_content import sweep_content
from lossweep.search.exporting.folder import PROGRAM, files_of
from lossweep.search.study.history import SweepHistory
from lossweep.search.upkeep.models import SweepModel

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST_TAG: Final = "lossweep.model"

_SERVED: Final = Path(__file__).with_name("served_model.py")
_SIDE: Final = 64
"""Of the example, in pixels."""
_NO_QUALITY: Final = ("train/", "time/", "schedule/", "loss/")
"""Figures of how a training went, which say nothing of the model that came of it."""


def logged_model(
    model: SweepModel, folder: Path, history: SweepHistory, store: MlflowStore, tags: Mapping[str, str]
) -> str:
    """Return MLflow's id of a model, which is written unless the same one was before.

    One that could not be written is left FAILED.

    Args:
        model: from `search.upkeep.models.model_of`.
        folder: what `search.exporting.folder.write_folder` made of it.
        history: the sweep.
        store: that holds its runs.
        tags: of the model.
    """
    digest = _digest(model, folder)
    found = _written(store, digest)
    if found is not None:
        store.client.set_logged_model_tags(found, dict(tags))
        return found
    return _write(model, folder, history, store, {**tags, DIGEST_TAG: digest})


def _write(
    model: SweepModel, folder: Path, history: SweepHistory, store: MlflowStore, tags: Mapping[str, str]
) -> str:
    client, trial = store.client, model.chosen.trial
    run = store.runs[trial.number]
    created = client.create_logged_model(
        store.experiment_id,
        name=f"{history.name}-trial-{trial.number}".replace(".", "_"),
        source_run_id=run,
        tags=dict(tags),
        params=dict(trial_content(trial, history).params),
        model_type="segmentation",
    )
    logged = str(created.model_id)
    try:
        with TemporaryDirectory() as temporary:
            whole = Path(temporary) / "model"
            _save(model, folder, whole, run, logged)
            client.log_model_artifacts(logged, str(whole))
        _link(client, model, history, store, logged)
    except BaseException:
        client.finalize_logged_model(logged, "FAILED")
        raise
    client.finalize_logged_model(logged, "READY")
    return logged


def _save(model: SweepModel, folder: Path, path: Path, run: str, logged: str) -> None:
    """Write the folder as MLflow loads it: the code of `served_model` beside it, which needs no lossweep."""
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    spec = model.segmenter.spec
    kind = np.dtype(spec.normalization.kind)
    shape = (-1, -1, -1, spec.normalization.bands)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(kind, shape)]),
        outputs=Schema([TensorSpec(np.dtype("uint8"), shape[:3])]),
        params=ParamSchema([ParamSpec("output", "string", "masks")]),
    )
    needed = ["numpy", "safetensors", "torch"]
    needed += [] if PROGRAM in files_of(folder) else ["segmentation-models-pytorch"]
    whole = Model(run_id=run, model_id=logged)
    with _quiet():
        pyfunc.save_model(
            path=str(path),
            python_model=str(_SERVED),
            artifacts={"model": str(folder)},
            mlflow_model=whole,
            signature=signature,
            input_example=_example(model),
            # What others made of a version, such as +cu128, no registry has.
            pip_requirements=[f"{each}=={installed(each).partition('+')[0]}" for each in ("mlflow", *needed)],
            metadata={"classes": list(spec.classes), "threshold": spec.threshold},
        )
    forget_origin(whole, path)


def _link(
    client: MlflowClient, model: SweepModel, history: SweepHistory, store: MlflowStore, logged: str
) -> None:
    """Make the model an output of its run, and the figures that were taken of it its own."""
    from mlflow.entities import LoggedModelOutput

    trial = model.chosen.trial
    steps = {evaluation.step for evaluation in (trial.scored, trial.held_out) if evaluation is not None}
    run = store.runs[trial.number]
    client.log_outputs(run, [LoggedModelOutput(logged, max(steps))])
    own = [point for point in trial_content(trial, history).points if point.step in steps]
    _log_figures(client, run, (p for p in own if not p.key.startswith(_NO_QUALITY)), history, logged)
    verdict = [point for point in sweep_content(history).points if point.key.startswith("confirmed/")]
    _log_figures(client, store.parent, verdict, history, logged)


def _log_figures(
    client: MlflowClient, run: str, points: Iterable[Point], history: SweepHistory, logged: str
) -> None:
    """Write values that a run holds already once more as the model's, with the data they are of."""
    from mlflow.entities import Metric

    name, digest = dataset_named(history)
    linked = {"dataset_name": name, "dataset_digest": digest, "model_id": logged, "run_id": run}
    metrics = [Metric(point.key, point.value, point.at, point.step, **linked) for point in points]
    if metrics:
        client.log_batch(run, metrics=metrics, synchronous=True)


def _written(store: MlflowStore, digest: str) -> str | None:
    """The model that was made of the same files before."""
    condition = f"tags.`{DIGEST_TAG}` = '{digest}'"
    found = store.client.search_logged_models([store.experiment_id], condition)
    return next((str(each.model_id) for each in found if str(each.status) == "READY"), None)


def _digest(model: SweepModel, folder: Path) -> str:
    """What tells a model from another: its weights, all else that predicting takes, which files it has."""
    segmenter = model.segmenter
    found = hashlib.sha256("\n".join([segmenter.spec.model_dump_json(), *files_of(folder)]).encode())
    for name, tensor in sorted(segmenter.model.state_dict().items()):
        found.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:24]


def _example(model: SweepModel) -> np.ndarray[Any, Any]:
    """An image (1, height, width, bands) of the training pixels' mean: no data leave with a model."""
    normalization = model.segmenter.spec.normalization
    mean = np.array(normalization.mean)
    if normalization.ranges:
        low, high = np.array(normalization.ranges).T
        mean = low + mean / 65535.0 * (high - low)
    image = np.broadcast_to(mean, (1, _SIDE, _SIDE, normalization.bands))
    kind = np.dtype(normalization.kind)
    return np.asarray(image if kind.kind == "f" else np.rint(image), kind)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow from warning of what is meant as it is."""
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
