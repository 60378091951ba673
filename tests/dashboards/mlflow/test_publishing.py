"""A model in MLflow's registry: linked, loadable where lossweep is not, registered once, honest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from lossweep.dashboards.mlflow import logged_model
from lossweep.dashboards.mlflow.consistency import missing_runs
from lossweep.dashboards.mlflow.publishing import publish
from lossweep.dashboards.mlflow.registry import Published, check_names
from lossweep.dashboards.mlflow.tracking import sync
from lossweep.search.exporting.choice import choose
from lossweep.search.exporting.folder import write_folder
from lossweep.search.exporting.support import doubt
from lossweep.search.exporting.weights import segmenter_spec
from lossweep.search.study.history import SweepHistory
from lossweep.search.upkeep.export import export
from lossweep.search.upkeep.models import SweepModel
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.inference.segmenter import Segmenter
from lossweep.trainers.plan import ModelSpec
from tests.search.confirmed_sweeps import TOP_HEAVY, sweep
from tests.search.exporting.exported_models import OWN, SMP, exported_model

HISTORY = sweep(TOP_HEAVY)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 50, 70, 3), np.uint8)


@dataclass(frozen=True)
class Registry:
    """A store, and what is published there."""

    uri: str
    folder: Path

    @property
    def client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(tracking_uri=self.uri)

    def model(self, history: SweepHistory, network: ModelSpec = SMP, **how: Any) -> SweepModel:
        chosen = choose(history, **how)
        exported = export(history, chosen)
        weights, _ = exported_model(self.folder, network, *history.prior.names)
        segmenter = Segmenter.of(weights.model, segmenter_spec(weights, exported), device="cpu")
        return SweepModel(segmenter, chosen, exported, weights)

    def load(self, uri: str) -> Any:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("MLFLOW_TRACKING_URI", self.uri)
            return mlflow.pyfunc.load_model(uri)

    def publish(self, model: SweepModel, history: SweepHistory = HISTORY, **how: Any) -> Published:
        files = self.folder / "files"
        write_folder(files, model.segmenter, model.weights, model.exported)
        refused = doubt(history, model.chosen)
        return publish(model, files, history, self.uri, **{"name": "small", "doubt": refused, **how})


@pytest.fixture
def registry(new_store: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    uri = new_store()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)  # where MLflow would make a store of its own
    monkeypatch.syspath_prepend(tmp_path)
    return Registry(uri, tmp_path)


def test_a_model_is_linked_to_its_run_its_figures_and_its_data(registry: Registry) -> None:
    model = registry.model(HISTORY)
    found = registry.publish(model)
    assert (found.name, found.version, found.anew) == ("small", "1", True)
    assert found.uri == "models:/small@champion"
    client = registry.client
    version = client.get_model_version_by_alias("small", "champion")
    assert (str(version.version), version.status) == ("1", "READY")
    assert version.source == f"models:/{found.model}"
    assert not (registry.folder / "mlflow.db").exists()
    run = client.get_run(version.run_id)
    assert run.data.tags["lossweep.trial"] == str(model.chosen.trial.number)
    assert [each.model_id for each in run.outputs.model_outputs] == [found.model]
    logged = client.get_logged_model(found.model)
    assert (str(logged.status), logged.source_run_id) == ("READY", version.run_id)
    assert logged.params["schedule"] == str(model.chosen.trial.schedule)
    figures = {metric.key: metric for metric in logged.metrics}
    held_out = model.chosen.trial.held_out
    assert held_out is not None
    assert figures["test/score"].value == held_out.score
    assert figures["tuned_f1"].value == model.chosen.trial.score
    assert figures["confirmed/difference"].value == pytest.approx(0.2)
    assert {(each.dataset_name, each.dataset_digest) for each in figures.values()} == {("small data", "0")}
    assert not any(key.startswith(("train/", "time/")) for key in figures)
    tags = version.tags
    assert (tags["verdict"], tags["verdict.holds"]) == ("beats", "true")
    assert "Trial 1 beats the control" in tags["verdict.sentence"]
    assert "published_anyway" not in tags
    assert float(tags["threshold"]) == model.segmenter.spec.threshold
    assert missing_runs(HISTORY, registry.uri) == (), "what a run holds is as it was"
    assert sync(HISTORY, registry.uri, report=None) == 0


def test_it_loads_and_gives_the_same_masks(registry: Registry) -> None:
    model = registry.model(HISTORY)
    loaded = registry.load(registry.publish(model).uri)
    wanted = model.segmenter.masks([*IMAGES])
    assert len(np.unique(wanted)) > 1
    found = loaded.predict(IMAGES)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)
    logits = loaded.predict(IMAGES, params={"output": "logits"})
    np.testing.assert_allclose(logits, np.stack(model.segmenter.logits([*IMAGES])), atol=1e-5)
    probabilities = loaded.predict(IMAGES, params={"output": "probabilities"})
    np.testing.assert_allclose(probabilities, np.stack(model.segmenter.probabilities([*IMAGES])), atol=1e-5)
    with pytest.raises(ValueError, match="output must be one of masks, probabilities, logits"):
        loaded.predict(IMAGES, params={"output": "polygons"})
    with pytest.raises(Exception, match=r"(?i)shape"):
        loaded.predict(IMAGES[..., :2])
    example = loaded.input_example
    assert example.shape == (1, 64, 64, 3)


@pytest.mark.slow
@pytest.mark.parametrize("network", [SMP, OWN], ids=["smp", "own"])
def test_it_loads_where_neither_lossweep_nor_the_models_code_is(
    registry: Registry, network: ModelSpec, tmp_path: Path
) -> None:
    model = registry.model(HISTORY, network)
    uri = registry.publish(model).uri
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    np.save(elsewhere / "images.npy", IMAGES)
    code = (
        "import sys, numpy as np\n"
        "sys.modules['lossweep'] = sys.modules['card_model'] = None\n"
        "import mlflow\n"
        f"model = mlflow.pyfunc.load_model({uri!r})\n"
        "np.save('masks.npy', model.predict(np.load('images.npy')))\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["MLFLOW_TRACKING_URI"] = registry.uri
    subprocess.run([sys.executable, "-c", code], cwd=elsewhere, env=environment, check=True)
    np.testing.assert_array_equal(np.load(elsewhere / "masks.npy"), model.segmenter.masks([*IMAGES]))


def test_the_same_model_is_registered_once_and_another_is_another_version(registry: Registry) -> None:
    model = registry.model(HISTORY)
    first, again = registry.publish(model), registry.publish(model)
    assert (again.version, again.model, again.anew) == (first.version, first.model, False)
    other = registry.publish(registry.model(HISTORY, number=2))
    assert (other.version, other.anew) == ("2", True)
    client = registry.client
    tags = client.get_model_version_by_alias("small", "champion").tags
    assert tags["verdict.holds"] == "false"
    assert tags["published_anyway"] == "the verdict on sweep small does not stand behind trial 2"
    back = registry.publish(model, alias="today")
    assert back.version == "1"
    assert client.get_model_version_by_alias("small", "champion").version in (2, "2")
    assert client.get_model_version_by_alias("small", "today").version in (1, "1")
    renamed = registry.publish(model, name="other")
    assert (renamed.name, renamed.version, renamed.model) == ("other", "1", first.model)
    experiment = client.get_experiment_by_name("lossweep")
    assert experiment is not None
    assert len(client.search_logged_models([experiment.experiment_id])) == 2


def test_what_is_confirmed_later_loses_its_doubt(registry: Registry) -> None:
    unconfirmed = replace(HISTORY, confirmation=None)
    model = registry.model(unconfirmed)
    first = registry.publish(model, unconfirmed)
    assert (
        "was not confirmed"
        in registry.client.get_model_version("small", first.version).tags["published_anyway"]
    )
    registry.publish(model, unconfirmed, doubt=None)
    tags = registry.client.get_model_version("small", first.version).tags
    assert (tags["verdict.holds"], "published_anyway" in tags) == ("true", False)


def test_a_model_moves_with_its_home(registry: Registry, tmp_path: Path) -> None:
    model = registry.model(HISTORY)
    uri = registry.publish(model).uri
    before = Path(registry.uri.removeprefix("sqlite:///")).parent
    after = tmp_path / "moved"
    shutil.move(before, after)
    moved = f"sqlite:///{after / 'mlflow.db'}"
    assert sync(HISTORY, moved, report=None) == 0
    np.testing.assert_array_equal(
        Registry(moved, tmp_path).load(uri).predict(IMAGES), model.segmenter.masks([*IMAGES])
    )
    assert not before.exists()


def test_a_model_that_could_not_be_written_is_failed_and_not_registered(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logged_model, "_save", full)
    model = registry.model(HISTORY)
    with pytest.raises(UserError, match="MLflow can't be reached"):
        registry.publish(model)
    client = registry.client
    experiment = client.get_experiment_by_name("lossweep")
    assert experiment is not None
    (logged,) = client.search_logged_models([experiment.experiment_id])
    assert str(logged.status) == "FAILED"
    assert list(client.search_registered_models()) == []
    monkeypatch.undo()
    assert registry.publish(model).anew


def test_names_that_mlflow_does_not_take_are_said_before_anything_is_written() -> None:
    check_names("small.v2 of today", "champion-2")
    with pytest.raises(UserError) as raised:
        check_names("models/small", "latest")
    assert [problem.key for problem in raised.value.problems] == ["--as", "--alias"]
    for alias in ("v1", "V12", "", "a b", "a@b"):
        with pytest.raises(UserError, match="--alias: no alias of a registered model"):
            check_names("small", alias)


def test_nothing_of_a_model_names_a_folder_of_this_machine(registry: Registry, tmp_path: Path) -> None:
    registry.publish(registry.model(HISTORY))
    files = [path for path in tmp_path.rglob("*") if "mlflow-artifacts" in path.parts and path.is_file()]
    assert {"MLmodel", "served_model.py", "model.safetensors", "requirements.txt"} <= {
        path.name for path in files
    }
    told = [path.name for path in files if str(tmp_path).encode() in path.read_bytes()]
    assert told == []
