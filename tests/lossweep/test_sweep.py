"""One real sweep, from the command line to a trained model, its driver killed on the way and resumed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lossweep.search.ledger import Ledger
from lossweep.search.running.existing import existing_sweep
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.workspace import Workspace
from lossweep.spaces.schedules.schedule_file import load_schedule

pytestmark = pytest.mark.slow

SWEEP = """\
name: small
seed: 3
data: {source: scenes, tile: 64, train: 12, val: 6, test: 4}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}
training: {batch: 4}
space: {preset: cycling, cycles: {low: 0, high: 2}}
sampler: {sampler: random}
objective: {use_case: balanced}
budget: {trials: 8, epochs: 6}
resources: {parallel: 2}
"""


def lossweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), cwd=folder, env=environment(folder), capture_output=True, text=True
    )


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "lossweep", *words]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "LOSSWEEP_HOME": str(folder / "runs"), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def recorded(workspace: Workspace) -> SweepHistory | None:
    if existing_sweep(workspace, "small") is None:
        return None
    ledger = Ledger(workspace.database_url)
    try:
        return ledger.history("small")
    finally:
        ledger.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a sweep was submitted, its driver killed in mid-sweep, and the sweep resumed."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "small.yaml").write_text(SWEEP)
    workspace = Workspace.at(folder / "runs")
    (folder / "runs").mkdir()
    with (folder / "first.log").open("w") as log:
        driver = subprocess.Popen(
            command("submit", "small.yaml"), cwd=folder, env=environment(folder), stdout=log, stderr=log
        )
        until = time.monotonic() + 120
        while time.monotonic() < until and driver.poll() is None:
            history = recorded(workspace)
            # Killed while a trial is under way, so that there is something to go on with.
            if history and any(
                trial.evaluations for trial in history.trials[3:] if not trial.outcome.is_final
            ):
                break
            time.sleep(0.2)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    killed = recorded(workspace)
    assert killed is not None, (folder / "first.log").read_text()
    assert any(trial.outcome is OutcomeKind.INTERRUPTED for trial in killed.trials)
    refused = lossweep(folder, "submit", "small.yaml")
    assert refused.returncode == 2, refused.stderr
    assert "lossweep resume small" in refused.stderr
    resumed = lossweep(folder, "resume", "small")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    (folder / "resumed.log").write_text(resumed.stdout + resumed.stderr)
    begun = any(trial.evaluations for trial in killed.trials if trial.outcome is OutcomeKind.INTERRUPTED)
    assert ("goes on after epoch" in resumed.stdout + resumed.stderr) is begun
    return folder


def test_nothing_was_lost_and_nothing_runs(folder: Path) -> None:
    history = recorded(Workspace.at(folder / "runs"))
    assert history is not None
    assert history.state == "finished"
    assert [trial.number for trial in history.trials] == list(range(8))
    assert all(trial.outcome.is_final for trial in history.trials)
    for trial in history.trials:
        steps = [evaluation.step for evaluation in trial.evaluations]
        assert steps == sorted(set(steps))
    controls = [trial.control for trial in history.trials if trial.control]
    assert controls[0] == "cross_entropy"


def test_the_terminal_tells_what_happened(folder: Path) -> None:
    said = (folder / "resumed.log").read_text()
    assert "control" in said
    assert "lossweep export small" in said
    listed = lossweep(folder, "list")
    assert re.search(r"small\s+finished\s+8/8", listed.stdout)
    assert "cross_entropy" in lossweep(folder, "status", "small").stdout
    assert "Decisions" in lossweep(folder, "why", "small", "0").stdout


def test_mlflow_holds_the_same_trials(folder: Path) -> None:
    from mlflow import MlflowClient

    workspace = Workspace.at(folder / "runs")
    history = recorded(workspace)
    assert history is not None
    client = MlflowClient(tracking_uri=workspace.mlflow_uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments)
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(children) == len(history.trials)
    assert all({"precision", "recall", "f1"} <= run.data.metrics.keys() for run in children)
    ledger = Ledger(workspace.database_url)
    record = ledger.sweep("small")
    ledger.close()
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {record.mlflow_run}
    assert record.ray_job


def test_the_doctor_clears_away_what_the_killed_driver_left(folder: Path) -> None:
    mended = lossweep(folder, "doctor", "--mend")
    assert mended.returncode == 0, mended.stdout
    assert "left over" in mended.stdout
    said = lossweep(folder, "doctor", "small")
    assert (said.returncode, said.stdout) == (0, "all is well\n")


def test_the_winner_is_exported_and_trains_to_the_very_same_figures(folder: Path) -> None:
    history = recorded(Workspace.at(folder / "runs"))
    assert history is not None
    winner = history.winner()
    assert winner is not None
    assert lossweep(folder, "export", "small", "-o", "best.yaml").returncode == 0
    exported = load_schedule(folder / "best.yaml")
    assert exported.schedule == winner.schedule
    trained = lossweep(folder, "train", "best.yaml", "-o", "model.pt", "--test")
    assert trained.returncode == 0, trained.stderr
    last = [line for line in trained.stdout.splitlines() if line.startswith("epoch")][-1]
    assert f"AP {winner.evaluations[-1].metrics['ap']:.3f}" in last
    saved = torch.load(folder / "model.pt", weights_only=True)
    assert winner.scored is not None
    assert saved["threshold"] == exported.logit_threshold == winner.scored.threshold
    assert "on logits (highest F1)" in trained.stdout
    assert re.search(r"^test, at that threshold: precision 0\.\d{3}, recall", trained.stdout, re.MULTILINE)
    assert any((folder / "runs" / "trainings").iterdir())
    assert "belongs to no sweep" not in lossweep(folder, "doctor").stdout


def test_a_resume_with_a_raised_budget_adds_trials(folder: Path) -> None:
    said = lossweep(folder, "resume", "small")
    assert said.returncode == 0
    assert "budget.trials" in said.stdout
    more = lossweep(folder, "resume", "small", "--set", "budget.trials=9", "--set", "resources.runner=inline")
    assert more.returncode == 0, more.stdout + more.stderr
    history = recorded(Workspace.at(folder / "runs"))
    assert history is not None
    assert len(history.trials) == 9


def test_the_report_stands_alone(folder: Path) -> None:
    said = lossweep(folder, "report", "small", "-o", "report.html")
    assert said.returncode == 0, said.stderr
    page = (folder / "report.html").read_text()
    assert "<script src=" not in page
    assert "small" in page
