"""The example scripts run as they stand."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lossweep.spaces.schedules.schedule_file import load_schedule

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def script(name: str, *arguments: str, folder: Path) -> str:
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_a_schedule_in_ones_own_loop(tmp_path: Path) -> None:
    epochs = script("train_with_a_schedule.py", folder=tmp_path).splitlines()
    assert 6 <= len(epochs) <= 12
    losses = [line.split()[2] for line in epochs]
    assert losses[0].startswith("weighted_ce")
    assert losses[-1] == "jaccard"
    recalls = [float(found) for found in re.findall(r"recall (\d\.\d+)", "\n".join(epochs))]
    assert len(recalls) == len(epochs)
    assert recalls[-1] > 0.5


def test_a_schedule_in_lightning(tmp_path: Path) -> None:
    said = script("train_in_lightning.py", folder=tmp_path)
    epochs = [line.split() for line in said.splitlines() if line.startswith("epoch ")]
    assert 6 <= len(epochs) <= 12
    assert (epochs[0][2], epochs[-1][2]) == ("weighted_ce", "jaccard")
    assert float(epochs[-1][5]) > 0.5


def test_a_schedule_in_hugging_faces_trainer(tmp_path: Path) -> None:
    said = script("train_in_hugging_face.py", folder=tmp_path)
    recalls = [float(found) for found in re.findall(r"'eval_recall': '([\d.]+)'", said)]
    assert len(recalls) == 8
    assert recalls[-1] > 0.5
    rates = [float(found) for found in re.findall(r"'learning_rate': '([\d.]+)'", said)]
    assert len(rates) == 8
    assert set(rates) == {0.01, 0.003}
    assert (tmp_path / "trained" / "checkpoint-64" / "trainer_state.json").exists()


def test_a_sweep_from_python(tmp_path: Path) -> None:
    said = script("run_a_sweep.py", "found", folder=tmp_path)
    assert "sweep short, finished: 4/4 trials" in said
    assert "cross_entropy" in said
    assert "short" in (tmp_path / "found" / "short.html").read_text()
    assert load_schedule(tmp_path / "found" / "best.yaml").epochs == 3
    assert script("run_a_sweep.py", "found", folder=tmp_path) == said


def shown_by(cell: str, names: dict[str, object]) -> object:
    """Run a notebook's cell as a kernel does, and return what its last line shows; None for nothing."""
    body = ast.parse(cell).body
    last = body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(cell, "notebook.ipynb", "exec"), names)
        return None
    exec(compile(ast.Module(body[:-1], []), "notebook.ipynb", "exec"), names)
    return eval(compile(ast.Expression(last.value), "notebook.ipynb", "eval"), names)


def test_the_notebook_shows_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = json.loads((ROOT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells), "committed bare"
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    results = [shown_by("".join(cell["source"]), names) for cell in cells]
    shown = [result._repr_html_() for result in results if hasattr(result, "_repr_html_")]
    assert len(shown) == 5, "sweep, trial, schedule, figure and table"
    assert [result for result in results if not hasattr(result, "_repr_html_")] == [None, None]
    sweep, trial, schedule, figure, table = shown
    assert "sweep notebook, finished: 6/6 trials" in sweep
    assert "completed" in trial
    assert schedule in trial
    assert "plotly" in figure
    assert table.count("<tr") == 7
    assert capsys.readouterr().out == "notebook.html\n"
    assert "cross_entropy" in (tmp_path / "notebook.html").read_text(encoding="utf-8")


def test_there_is_a_test_for_each() -> None:
    examples = [path for path in (ROOT / "examples").iterdir() if path.suffix in (".py", ".ipynb")]
    assert {path.name for path in examples} == {
        "notebook.ipynb",
        "run_a_sweep.py",
        "train_in_hugging_face.py",
        "train_in_lightning.py",
        "train_with_a_schedule.py",
    }
