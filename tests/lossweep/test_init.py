"""``lossweep init``: a folder that nobody prepared, and a sweep file that runs as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lossweep.commands import app
from lossweep.search.starting.budget import Pace
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.files.errors import UserError

CARRIED = ["--hours", "0.02", "--no-gpu"]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring is tried by the slow test; here it takes no time."""
    monkeypatch.setattr("lossweep.search.starting.start.measured", lambda spec, data: Pace(50.0, 0.5))


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve photographs with black and white masks beside them, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOSSWEEP_HOME", str(tmp_path / "runs"))
    folder = tmp_path / "My photos!"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(generator.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / f"p{number}.jpg")
        mask = np.zeros((64, 64), np.uint8)
        mask[5:25, 5 + number : 25 + number] = 255
        Image.fromarray(mask).save(folder / f"p{number}_mask.png")
    return folder


def told(result: object) -> str:
    raised = getattr(result, "exception", None)
    assert isinstance(raised, UserError), result
    return str(raised)


def test_a_folder_becomes_a_sweep_file_that_check_has_nothing_against(photos: Path) -> None:
    run = CliRunner().invoke(app, ["init", "My photos!", *CARRIED])
    assert run.exit_code == 0, run.output
    assert "Found: images and masks in one folder; 8 train, 2 val, 2 test" in run.output
    assert "white (255) is the foreground" in run.output
    assert "lossweep submit My-photos.yaml" in run.output
    written = Path("My-photos.yaml").read_text()
    assert "root: My photos!" in written
    assert str(photos.parent) not in written
    spec = SweepSpec.load("My-photos.yaml")
    assert spec.name == "My-photos"
    assert spec.budget.hours == 0.02
    checked = CliRunner().invoke(app, ["check", "My-photos.yaml"])
    assert checked.exit_code == 0, checked.output
    assert "ready to submit" in checked.output


def test_a_file_that_is_there_stays_unless_told_otherwise(photos: Path) -> None:
    Path("mine.yaml").write_text("name: mine\n")
    refused = CliRunner().invoke(app, ["init", str(photos), "-o", "mine.yaml", *CARRIED])
    assert "there is a file of this name" in told(refused)
    assert Path("mine.yaml").read_text() == "name: mine\n"
    forced = CliRunner().invoke(app, ["init", str(photos), "-o", "mine.yaml", "--force", *CARRIED])
    assert forced.exit_code == 0, forced.output
    assert SweepSpec.load("mine.yaml").objective.use_case == "balanced"


def test_flags_say_what_a_person_knows(photos: Path) -> None:
    words = ["--classes", "road, crack", "--use-case", "needle", "--name", "cracks"]
    run = CliRunner().invoke(app, ["init", str(photos), *words, *CARRIED])
    assert run.exit_code == 0, run.output
    spec = SweepSpec.load("cracks.yaml")
    assert spec.data.classes == ("road", "crack")
    assert spec.objective.use_case == "needle"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "data folder is missing"),
        ([".", "--use-case", "speed"], "no such use case; found speed; allowed: balanced"),
        ([".", "--hours", "-1"], "--hours: must be more than 0"),
        ([".", "--ignore", "red"], "--ignore: not a value of masks; found red"),
        ([".", "-o", "no/such/folder.yaml"], "its folder is missing"),
        (["My photos!", "--classes", "a,b,c"], "as many names as the masks have classes"),
        (["My photos!", "--name", "-x-"], "name"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(photos: Path, words: list[str], said: str) -> None:
    run = CliRunner().invoke(app, ["init", *words, *CARRIED[2:]])
    assert said in told(run)
    assert not list(photos.parent.glob("*.yaml"))


def test_the_demo_needs_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(app, ["init", "--demo"])
    assert run.exit_code == 0, run.output
    assert SweepSpec.load("scenes.yaml").name == "scenes"
    assert "there is a file of this name" in told(CliRunner().invoke(app, ["init", "--demo"]))


def test_questions_are_asked_where_somebody_can_answer(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossweep.commands.init._somebody_answers", lambda: True)
    run = CliRunner().invoke(app, ["init", str(photos), "--no-gpu"], input="counting\n0.5\n")
    assert run.exit_code == 0, run.output
    assert "What is good?" in run.output
    spec = SweepSpec.load("My-photos.yaml")
    assert (spec.objective.use_case, spec.budget.hours) == ("counting", 0.5)
    again = CliRunner().invoke(app, ["init", str(photos), "--no-gpu", *CARRIED], input="n\n")
    assert again.exit_code == 0
    assert "Write over it?" in again.output
    assert SweepSpec.load("My-photos.yaml") == spec


@pytest.mark.slow
def test_what_is_written_runs_outside_a_clone(photos: Path, tmp_path: Path) -> None:
    """Measured, not planted: in other processes, whose working directory holds the images alone."""
    there = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    few = ["--set", "budget.trials=2", "--set", "budget.epochs=1", "--set", "budget.hours=1"]
    for words in (["init", str(photos), "--hours", "0.01"], ["submit", "My-photos.yaml", *few]):
        run = subprocess.run(
            [sys.executable, "-m", "lossweep", *words],
            cwd=tmp_path,
            env=there,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
    assert "An epoch takes about" in Path("My-photos.yaml").read_text()
