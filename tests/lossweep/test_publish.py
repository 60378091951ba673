"""One small real sweep published: refused without a verdict, simpler when it ties, the same masks anyhow."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from lossweep.search.verdicts.result import verdict_of
from lossweep.search.verdicts.simplicity import complexity
from lossweep.search.verdicts.verdict import Verdict
from lossweep.search.workspace import Workspace
from lossweep.trainers.inference.model_files import load_model
from lossweep.trainers.inference.onnx_file import onnx_logits
from tests.lossweep.small_sweep import Run, recorded

SWEEP = """\
name: small
seed: 3
data: {source: scenes, tile: 64, train: 8, val: 4, test: 4}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}
training: {batch: 4, precision: float32}
space: {preset: single}
sampler: {sampler: random}
objective: {use_case: balanced}
pruning: {pruner: none}
budget: {trials: 3, epochs: 2}
resources: {runner: inline}
controls: {at_least: 1, named: []}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("publish")


def registered(home: Path) -> list[str]:
    import mlflow

    uri = Workspace.at(home / "runs").mlflow_uri
    return [each.name for each in mlflow.MlflowClient(tracking_uri=uri).search_registered_models()]


@pytest.mark.slow
def test_without_a_confirmation_nothing_is_registered(home: Path, lossweep: Run) -> None:
    (home / "small.yaml").write_text(SWEEP)
    assert lossweep("submit", "small.yaml")[0] == 0
    code, out, error = lossweep("publish", "small")
    assert (code, out, len(error.splitlines())) == (2, "", 1)
    assert error.startswith("nothing was registered: sweep small was not confirmed: the lead of trial ")
    assert "; to confirm it: lossweep confirm small; to register it as it stands: --anyway" in error
    assert registered(home) == []


@pytest.mark.slow
def test_of_a_tie_the_simpler_schedule_is_registered(home: Path, lossweep: Run) -> None:
    code, out, error = lossweep(
        "confirm", "small", "--top", "1", "--seeds", "2", "--margin", "1", "--publish"
    )
    assert code == 0, out + error
    history = recorded(home)
    verdict = verdict_of(history)
    assert verdict is not None
    assert verdict.headline.judged.verdict is Verdict.TIES
    simple, leader = (scores.arm.schedule for scores in (verdict.simplest, verdict.headline.scores))
    assert complexity(simple) < complexity(leader)
    assert "registered small version 1, which @champion points to now" in out
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=Workspace.at(home / "runs").mlflow_uri)
    tags = client.get_model_version_by_alias("small", "champion").tags
    assert tags["schedule"] == str(verdict.simplest.arm.schedule.with_budget(history.budget_epochs))
    assert (tags["verdict"], tags["verdict.holds"]) == ("ties", "true")
    code, out, error = lossweep("publish", "small")
    assert code == 0, error
    assert "is registered already: small version 1" in out


@pytest.mark.slow
def test_every_way_gives_the_same_masks(home: Path, lossweep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, error = lossweep("publish", "small", "--to", "published", "--onnx")
    assert code == 0, error
    assert out.startswith("wrote published: README.md, model.safetensors, config.json, model.onnx")
    assert str(home) not in (home / "published" / "README.md").read_text()
    images = np.random.default_rng(0).integers(0, 256, (2, 100, 90, 3), np.uint8)
    segmenter = load_model(home / "published" / "model.safetensors", device="cpu")
    wanted = np.stack(segmenter.masks([*images]))
    assert 0 < wanted.mean() < 1, "else any mask would do"

    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", Workspace.at(home / "runs").mlflow_uri)
    np.testing.assert_array_equal(mlflow.pyfunc.load_model("models:/small@champion").predict(images), wanted)
    found = [segmenter.mask_of(logits) for logits in onnx_logits(home / "published" / "model.onnx", images)]
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(by_smp(home / "published", images), wanted)


def by_smp(folder: Path, images: np.ndarray) -> np.ndarray:
    """The code on the card."""
    import torch

    text = (folder / "README.md").read_text(encoding="utf-8")
    names = {"images": torch.from_numpy(images)}
    here = Path.cwd()
    os.chdir(folder)
    try:
        exec(text.partition("```python\n")[2].partition("```")[0], names)
    finally:
        os.chdir(here)
    return np.asarray(names["mask"])


@pytest.mark.slow
def test_another_trial_needs_a_word_more(home: Path, lossweep: Run) -> None:
    history = recorded(home)
    other = next(trial.number for trial in history.trials if trial.control is None)
    code, _, error = lossweep("publish", "small", "--trial", str(other))
    assert (code, len(error.splitlines())) == (2, 1)
    assert "nothing was registered: the verdict on sweep small does not stand behind trial" in error
    code, out, error = lossweep("publish", "small", "--trial", str(other), "--anyway", "--as", "tried")
    assert code == 0, error
    assert f"trial {other} registered tried version 1" in out
    assert "no verdict stands behind it, and its tags say so" in error


@pytest.mark.slow
def test_mistakes_are_told_before_a_checkpoint_is_read(home: Path, lossweep: Run) -> None:
    for words in (
        ["--alias", "latest"],
        ["--as", "a/b"],
        ["--to", "small.yaml"],
        ["--trial", "0", "--nominal-best"],
    ):
        code, _, error = lossweep("publish", "small", *words)
        assert (code, len(error.splitlines())) == (2, 1), words
