"""A trained model as one of MLflow's: what is loaded, and the run, figures and data that it is linked to."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lossweep.dashboards.mlflow.content import Point
from lossweep.dashboards.mlflow.dataset import KnownData
from lossweep.dashboards.mlflow.internals.registry import forget_origin
from lossweep.search.exporting.folder import PROGRAM, files_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from lossweep.trainers.inference.segmenter import Segmenter
    from lossweep.trainers.inference.spec import SegmenterSpec

DIGEST_TAG: Final = "lossweep.model"

_SERVED: Final = Path(__file__).with_name("served_model.py")
_SIDE: Final = 64
"""Of the example, in pixels."""
_NO_QUALITY: Final = ("train/", "time/", "use/", "schedule/", "loss/")
"""Figures of how a training went, which say nothing of the model that came of it."""


@dataclass(frozen=True, slots=True)
class Linked:
    """What MLflow is to link a model to.

    Attributes:
        run: id of the run that it is an output of.
        name: of the model.
        params: of its training.
        step: the last optimizer step that a figure of it was taken at.
        figures: points that runs hold already, by the run's id, which are the model's as well.
        data: that it was trained on.
    """

    run: str
    name: str
    params: Mapping[str, str]
    step: int
    figures: Mapping[str, tuple[Point, ...]]
    data: KnownData


def of_the_model(points: Iterable[Point], steps: Collection[int]) -> tuple[Point, ...]:
    """Return those of a run's figures that tell what a model is worth.

    Args:
        points: of the run.
        steps: at which the model's weights were measured.
    """
    return tuple(each for each in points if each.step in steps and not each.key.startswith(_NO_QUALITY))


def logged_model(
    segmenter: Segmenter,
    folder: Path,
    client: MlflowClient,
    experiment: str,
    tags: Mapping[str, str],
    linked: Callable[[], Linked],
) -> str:
    """Return MLflow's id of a model, which is written unless the same one was before.

    One that could not be written is left FAILED.

    Args:
        segmenter: the model in use.
        folder: what `search.exporting.folder.write_folder` made of it.
        client: of the store.
        experiment: id of the project's experiment.
        tags: of the model.
        linked: called where it is written: what to link it to.
    """
    digest = _digest(segmenter, folder)
    found = _written(client, experiment, digest)
    if found is not None:
        client.set_logged_model_tags(found, dict(tags))
        return found
    return _write(segmenter, folder, client, experiment, {**tags, DIGEST_TAG: digest}, linked())


def link_figures(
    client: MlflowClient, logged: str, figures: Mapping[str, tuple[Point, ...]], data: KnownData
) -> None:
    """Make figures of runs a model's own as well, with the data they are of.

    Args:
        client: of the store.
        logged: MLflow's id of the model.
        figures: by the run's id; those that a run does not hold yet it holds then.
        data: that the model was trained on.
    """
    from mlflow.entities import Metric

    of_model = {"dataset_name": data.name, "dataset_digest": data.digest, "model_id": logged}
    for run, points in figures.items():
        metrics = [Metric(p.key, p.value, p.at, p.step, **of_model, run_id=run) for p in points]
        if metrics:
            client.log_batch(run, metrics=metrics, synchronous=True)


def _write(
    segmenter: Segmenter,
    folder: Path,
    client: MlflowClient,
    experiment: str,
    tags: Mapping[str, str],
    linked: Linked,
) -> str:
    from mlflow.entities import LoggedModelOutput

    created = client.create_logged_model(
        experiment,
        name=linked.name.replace(".", "_"),
        source_run_id=linked.run,
        tags=dict(tags),
        params=dict(linked.params),
        model_type="segmentation",
    )
    logged = str(created.model_id)
    try:
        with TemporaryDirectory() as temporary:
            whole = Path(temporary) / "model"
            _save(segmenter, folder, whole, linked.run, logged)
            client.log_model_artifacts(logged, str(whole))
        client.log_outputs(linked.run, [LoggedModelOutput(logged, linked.step)])
        link_figures(client, logged, linked.figures, linked.data)
    except BaseException:
        client.finalize_logged_model(logged, "FAILED")
        raise
    client.finalize_logged_model(logged, "READY")
    return logged


def _save(segmenter: Segmenter, folder: Path, path: Path, run: str, logged: str) -> None:
    """Write the folder as MLflow loads it: the code of `served_model` beside it, which needs no lossweep."""
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    spec = segmenter.spec
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
            input_example=_example(spec),
            # What others made of a version, such as +cu128, no registry has.
            pip_requirements=[f"{each}=={installed(each).partition('+')[0]}" for each in ("mlflow", *needed)],
            metadata={"classes": list(spec.classes), "threshold": spec.threshold},
        )
    forget_origin(whole, path)


def _written(client: MlflowClient, experiment: str, digest: str) -> str | None:
    """The model that was made of the same files before."""
    found = client.search_logged_models([experiment], f"tags.`{DIGEST_TAG}` = '{digest}'")
    return next((str(each.model_id) for each in found if str(each.status) == "READY"), None)


def _digest(segmenter: Segmenter, folder: Path) -> str:
    """What tells a model from another: its weights, all else that predicting takes, which files it has."""
    found = hashlib.sha256("\n".join([segmenter.spec.model_dump_json(), *files_of(folder)]).encode())
    for name, tensor in sorted(segmenter.model.state_dict().items()):
        found.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:24]


def _example(spec: SegmenterSpec) -> np.ndarray[Any, Any]:
    """An image (1, height, width, bands) of the training pixels' mean: no data leave with a model."""
    normalization = spec.normalization
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
