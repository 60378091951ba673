"""``lossweep check`` on models that would fail, or mislead, in training: named before any of it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lossweep.__main__ import main
from lossweep.search.running.task import segmentation
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace

TINY = {"architecture": "Unet", "encoder": "tu-test_resnet"}
OWN = """
from torch import nn

def probabilities(in_channels, classes):
    return nn.Sequential(nn.Conv2d(in_channels, classes, 3, padding=1), nn.Sigmoid())

class Loss:
    def __call__(self, logits, target):
        if len(logits) == 1:
            raise IndexError("of a single image")
        return logits.square().mean()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles of 64 x 64 to train on, validation images of 50 x 90, and a module of a user's own."""
    root = tmp_path_factory.mktemp("checked")
    (root / "own_checked.py").write_text(OWN)
    random = np.random.default_rng(0)
    for split, shape in (("train", (64, 64)), ("val", (50, 90))):
        for kind in ("images", "masks"):
            (root / "tiles" / split / kind).mkdir(parents=True)
        for index in range(4):
            pixels = random.integers(0, 255, (*shape, 3), dtype=np.uint8)
            mask = np.zeros(shape, np.uint8)
            mask[4:12, 4:20] = 1
            Image.fromarray(pixels).save(root / "tiles" / split / "images" / f"{index}.png")
            Image.fromarray(mask).save(root / "tiles" / split / "masks" / f"{index}.png")
    return root


def sweep_file(folder: Path, model: dict[str, object], batch: int = 2, tile: int = 64) -> Path:
    sweep = {
        "name": "checked",
        "data": {"source": "folder", "root": "tiles", "classes": ["background", "thing"], "tile": tile},
        "model": model,
        "training": {"batch": batch},
        "space": {"preset": "single"},
        "objective": {"use_case": "balanced"},
        "budget": {"trials": 3, "epochs": 1},
        "resources": {"runner": "inline"},
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    return path


def checked(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *command: str
) -> tuple[int, str]:
    """The exit code and the words of a command on a sweep file, of ``check`` when none is named."""
    monkeypatch.syspath_prepend(str(path.parent))
    home = str(path.parent / "runs")
    monkeypatch.setattr(sys, "argv", ["lossweep", *(command or ("check", str(path))), "--home", home])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return int(end.value.code or 0), said.out + said.err


@pytest.mark.parametrize(
    ("model", "batch", "said"),
    [
        ({**TINY, "options": {"activation": "sigmoid"}}, 2, ["model.options.activation", "logits"]),
        ({"architecture": "DeepLabV3"}, 1, ["training.batch", "1 crop of 64 x 64", "batch of 2 or more"]),
        ({"architecture": "PAN"}, 2, ["data.tile", "64 x 64 pixels", "a tile of 128 would do"]),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused(
    folder: Path,
    model: dict[str, object],
    batch: int,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, told = checked(sweep_file(folder, model, batch), monkeypatch, capsys)
    assert code == 2
    for part in said:
        assert part in told


def test_validation_images_that_a_model_cannot_take_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = checked(sweep_file(folder, {"architecture": "PAN"}, tile=128), monkeypatch, capsys)
    assert code == 2
    assert "the images of val of 90 x 50 pixels, padded to 96 x 64" in told


def test_what_looks_wrong_is_said_and_keeps_no_sweep_from_starting(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = sweep_file(folder, {"architecture": "own_checked:probabilities"})
    code, told = checked(path, monkeypatch, capsys)
    assert code == 0
    assert "suspicious: model: what own_checked:probabilities returns stays within 0 and 1" in told
    assert "ready to submit" in told
    task = segmentation(SweepSpec.load(path, {}), Workspace.at(folder / "runs"))
    assert "own_checked:probabilities returns stays within 0 and 1" in caplog.text
    assert task.least_micro_batch == 1
    single = sweep_file(folder, {"architecture": "DeepLabV3"})
    assert segmentation(SweepSpec.load(single, {}), Workspace.at(folder / "runs")).least_micro_batch == 2
    assert "a trial that is short of memory fails" in caplog.text


def test_a_single_schedule_is_not_trained_to_its_first_validation_either(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, schedule = sweep_file(folder, {"architecture": "PAN"}, tile=128), folder / "best.yaml"
    phase = {"loss": {"term": "cross_entropy"}, "learning_rate": 1e-3, "epochs": 1}
    schedule.write_text(yaml.safe_dump({"format": "lossweep-schedule/1", "phases": [phase]}))
    command = ("train", str(schedule), "--sweep", str(path), "-o", str(folder / "model.pt"))
    code, told = checked(path, monkeypatch, capsys, *command)
    assert code == 2
    assert "the images of val of 90 x 50 pixels, padded to 96 x 64" in told
    assert "epoch" not in told
