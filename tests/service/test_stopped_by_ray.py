"""A sweep on a real Ray cluster that Ray's own command stops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from cluster_client import Client, until
from ray_head import Head

from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import holder_of
from lossweep.search.workspace import Workspace


@pytest.mark.slow
def test_rays_own_stop_ends_a_sweep_in_good_order(head: Head, tmp_path: Path) -> None:
    """``ray job stop`` signals every process of the job at once, and kills what is left after a while."""
    client = Client(head, tmp_path)
    seen = client.write("three")
    code, _, err = client.run("submit", "three.yaml")
    assert code == 0, err
    ledger = Ledger(Workspace.at(head.home).database_url)
    until(lambda: any(trial.evaluations for trial in ledger.history("three").recorded))
    logs = head.folder.rglob("job-driver-*-keeping-three-*.log")
    (job,) = {path.stem.removeprefix("job-driver-") for path in logs}
    command = [str(Path(sys.executable).parent / "ray"), "job", "stop", job, "--address", head.url]
    environment = {**client.environment, "RAY_AUTH_MODE": "token"}
    subprocess.run(command, env=environment, cwd=client.folder, check=True, capture_output=True)
    code, followed, err = client.run("logs", "three", "-f")
    assert "lost" not in followed, followed
    assert holder_of(ledger, "three") == (None, False), followed
    sweep = ledger.history("three")
    assert sweep.state == "interrupted"
    study = optuna.load_study(study_name="three", storage=ledger.storage)
    assert "RUNNING" not in {trial.state.name for trial in study.trials}
    before = {trial.number: len(trial.evaluations) for trial in sweep.recorded}
    (seen / "hurry").touch()
    code, _, err = client.run("resume", "three", "--follow")
    assert code == 0, err
    sweep = ledger.history("three")
    assert {kind: count for kind, count in sweep.counts().items() if count} == {"completed": 4}
    after = {trial.number: len(trial.evaluations) for trial in sweep.recorded}
    assert all(after[number] >= count for number, count in before.items())
    ledger.close()
