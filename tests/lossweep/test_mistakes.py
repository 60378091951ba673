"""A new user's first mistakes: one clear line each, exit code 2, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lossweep.__main__ import main

SWEEP = """\
name: mine
data: {source: folder, root: tiles, classes: [background, thing], tile: 32}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}
training: {batch: 2}
space: {preset: single}
objective: {use_case: balanced}
budget: {trials: 2, epochs: 2}
resources: {runner: inline}
"""


def write_folder(root: Path, mask_value: int = 1, masks: bool = True) -> None:
    random = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for index in range(2):
            pixels = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / split / "images" / f"{index}.png")
            mask = np.zeros((32, 32), np.uint8)
            mask[4:12, 4 + index : 12] = mask_value
            if masks:
                Image.fromarray(mask).save(root / split / "masks" / f"{index}.png")


@pytest.fixture
def lossweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs a command line; returns its exit code and what it said on standard error."""
    monkeypatch.setenv("LOSSWEEP_HOME", str(tmp_path / "runs"))

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lossweep", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        assert isinstance(code, int)
        return code, capsys.readouterr().err

    return run


def sweep_file(tmp_path: Path, old: str = "", new: str = "") -> str:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP.replace(old, new) if old else SWEEP)
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("training:", "trainning:", ["sweep.yaml:4", "trainning", "did you mean 'training'?"]),
        ("root: tiles", "root: nowhere", ["nowhere", "missing"]),
        ("trials: 2", "trials: 0", ["sweep.yaml:7", "budget.trials", "found 0", ">= 1"]),
        ("preset: single", "preset: singel", ["sweep.yaml:5", "did you mean 'single'?"]),
        ("name: mine", "name: <script>alert(1)</script>", ["sweep.yaml:1", "name", "<script>"]),
        ("use_case: balanced", "metric: recal", ["sweep.yaml:6", "recal"]),
        (
            "resources:",
            "sampler: {sampler: nowhere:Sampler}\nresources:",
            ["sweep.yaml:8: sampler.sampler", "there is no module 'nowhere'"],
        ),
        (
            "resources:",
            "sampler: {sampler: 'hub:samplers/none', registry: .}\nresources:",
            ["sweep.yaml:8: sampler.sampler", "could not be loaded"],
        ),
        (
            "resources:",
            "pruning: {pruner: 'optuna.pruners:MedianPrunr'}\nresources:",
            ["sweep.yaml:8: pruning.pruner", "did you mean 'MedianPruner'?"],
        ),
    ],
    ids=[
        "misspelt key",
        "missing folder",
        "budget of 0",
        "misspelt preset",
        "script as name",
        "unknown metric",
        "no such sampler",
        "no such hub sampler",
        "misspelt pruner",
    ],
)
def test_mistake_in_the_file(
    tmp_path: Path, lossweep: Callable[..., tuple[int, str]], old: str, new: str, said: list[str]
) -> None:
    write_folder(tmp_path / "tiles")
    code, error = lossweep("submit", sweep_file(tmp_path, old, new))
    assert code == 2
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1
    for words in said:
        assert words in error


def test_empty_mask_folder(tmp_path: Path, lossweep: Callable[..., tuple[int, str]]) -> None:
    write_folder(tmp_path / "tiles", masks=False)
    code, error = lossweep("submit", sweep_file(tmp_path))
    assert code == 2
    assert "Traceback" not in error
    assert "masks" in error


def test_class_index_out_of_range(tmp_path: Path, lossweep: Callable[..., tuple[int, str]]) -> None:
    write_folder(tmp_path / "tiles", mask_value=7)
    code, error = lossweep("submit", sweep_file(tmp_path))
    assert code == 2
    assert "Traceback" not in error
    assert "7" in error
    assert "0.png" in error


def test_several_mistakes_come_together(tmp_path: Path, lossweep: Callable[..., tuple[int, str]]) -> None:
    path = Path(sweep_file(tmp_path, "trials: 2, epochs: 2", "trials: 0, epochs: -1"))
    path.write_text(path.read_text().replace("batch: 2", "batch: none"))
    code, error = lossweep("submit", str(path))
    assert code == 2
    assert len(error.strip().splitlines()) == 3


def test_names_of_existing_and_unknown_sweeps(
    tmp_path: Path, lossweep: Callable[..., tuple[int, str]]
) -> None:
    write_folder(tmp_path / "tiles")
    code, error = lossweep("submit", sweep_file(tmp_path))
    assert code == 0, error
    code, error = lossweep("submit", sweep_file(tmp_path))
    assert code == 2
    assert error.startswith("name: this name is taken")
    code, error = lossweep("status", "mime")
    assert code == 2
    assert "did you mean 'mine'?" in error


@pytest.mark.parametrize(
    "words",
    [
        ("status", "mine"),
        ("why", "mine", "0"),
        ("resume", "mine"),
        ("stop", "mine"),
        ("report", "mine"),
        ("compare", "mine", "yours"),
        ("export", "mine"),
        ("sync", "mine"),
        ("gc", "mine"),
        ("doctor",),
        ("dashboard",),
    ],
)
def test_a_misspelt_home_is_said_and_not_made(
    words: tuple[str, ...], tmp_path: Path, lossweep: Callable[..., tuple[int, str]]
) -> None:
    code, error = lossweep(*words, "--home", str(tmp_path / "rums"))
    assert code == 2
    assert error.startswith(f"there are no sweeps in {tmp_path / 'rums'}")
    assert not (tmp_path / "rums").exists()


def test_a_list_of_nothing_makes_nothing(tmp_path: Path, lossweep: Callable[..., tuple[int, str]]) -> None:
    assert lossweep("list", "--home", str(tmp_path / "rums")) == (0, "")
    assert not (tmp_path / "rums").exists()


def test_missing_file_and_bad_setting(tmp_path: Path, lossweep: Callable[..., tuple[int, str]]) -> None:
    code, error = lossweep("submit", str(tmp_path / "none.yaml"))
    assert code == 2
    assert "none.yaml" in error
    code, error = lossweep("submit", sweep_file(tmp_path), "--set", "budget")
    assert code == 2
    assert "KEY=VALUE" in error


def test_a_folder_on_the_command_line_is_taken_from_the_working_directory(
    tmp_path: Path, lossweep: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    code, error = lossweep("submit", sweep_file(tmp_path), "--set", "data.root=none")
    assert code == 2
    assert str(elsewhere / "none") in error


@pytest.mark.parametrize("command", ["submit", "check"])
def test_a_store_in_which_mlflow_never_records_is_said_before_the_start(
    command: str,
    tmp_path: Path,
    lossweep: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_folder(tmp_path / "tiles")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    code, said = lossweep(command, sweep_file(tmp_path))
    assert code == 2
    assert said.count("\n") == 1
    assert said.startswith("MLFLOW_TRACKING_URI: MLflow no longer records into folders; found ./mlruns")
    assert "leave $MLFLOW_TRACKING_URI out" in said
    code, said = lossweep("status", "mine")
    assert said.startswith(("there is no sweep", "there are no sweeps")), "its name is not taken"
