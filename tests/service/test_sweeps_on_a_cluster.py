"""Two sweeps on a real Ray cluster, from a client that has its address and its token alone."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from pathlib import Path

import optuna
import pytest
from cluster_client import Client, last_line, until
from ray_head import Head

from lossweep.dashboards.mlflow.consistency import run_of
from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import holder_of
from lossweep.search.study.history import SweepHistory
from lossweep.search.workspace import Workspace
from lossweep.spaces.schedules.schedule_file import load_schedule


@pytest.mark.slow
def test_two_sweeps_from_submission_to_export(head: Head, tmp_path: Path) -> None:
    client, where = Client(head, tmp_path), Workspace.at(head.home)
    seen = client.write("one", "two")

    submitting = [client.start("submit", f"{name}.yaml") for name in ("one", "two")]
    for process in submitting:
        code, out, err = client.said(process)
        assert code == 0, err
        assert "lossweep logs" in out
    ledger = Ledger(where.database_url)

    def history(name: str) -> SweepHistory:
        return ledger.history(name)

    def driver(name: str) -> int | None:
        holder, in_force = holder_of(ledger, name)
        return holder.pid if holder is not None and in_force else None

    until(lambda: all(any(t.evaluations for t in history(name).recorded) for name in ("one", "two")))

    # A driver is killed; its keeper starts another, which goes on. Whether one lives, the lease says.
    killed = driver("one")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    stopping = client.start("stop", "two")
    until(lambda: driver("one") not in (None, killed))
    assert "sweep one is already driven by process" in last_line(client.run("resume", "one"))
    assert client.said(stopping)[0] == 0
    until(lambda: history("two").state == "stopped")
    (seen / "hurry").touch()
    resuming = client.start("resume", "two", "--follow")

    # Mistakes, while they train.
    assert "refuses the token" in last_line(client.run("list", RAY_AUTH_TOKEN="another"))
    missing = client.run("list", RAY_AUTH_TOKEN_PATH=str(tmp_path / "token-of-nobody"))
    assert "the token cannot be read" in last_line(missing)
    alone = client.start("submit", "one.yaml", "--name", "gpu", "--set", "resources.gpus_per_trial=1")
    assert "the cluster has no GPU" in last_line(client.said(alone))
    assert ledger.find("gpu") is None

    code, followed, err = client.run("logs", "one", "-f")
    assert code == 0, err
    assert "The driver was lost: it was ended by SIGKILL." in followed
    assert "It is started again, 1 of at most 3 times." in followed
    assert "Sweep one goes on" in followed
    assert "Sharing the cluster with two: up to 1 of 2 trials" in followed
    code, followed, err = client.said(resuming)
    assert code == 0, err
    assert "Sweep two finished" in followed

    # Optuna, MLflow, the ledger and the command line count the same.
    exporting = client.start("export", "one", "-o", "best.yaml")
    code, listed, _ = client.run("list")
    for name in ("one", "two"):
        sweep = history(name)
        assert sweep.state == "finished"
        counts = {kind: count for kind, count in sweep.counts().items() if count}
        assert counts == {"completed": 4}
        study = optuna.load_study(study_name=name, storage=ledger.storage)
        assert Counter(trial.state.name for trial in study.trials) == {"COMPLETE": 4}
        assert re.search(rf"{name} +finished +4/4", listed)
        assert all(run_of(sweep, trial.number, where.mlflow_uri) for trial in sweep.trials)
    assert client.said(exporting)[0] == 0
    best = history("one").winner()
    assert best is not None
    assert load_schedule(client.folder / "best.yaml").schedule == best.schedule
    ledger.close()

    # The driver's secrets are not in its workers' environment, and the token is in no command line or log.
    environments = [path.read_bytes() for path in seen.glob("*.environ")]
    assert environments
    assert not [each for each in environments if b"geheim" in each]
    assert not [p for p in head.processes() if head.token in " ".join(p.cmdline())]
    logs = [
        path
        for path in (*head.folder.rglob("*"), *head.home.rglob("*"))
        if path.suffix in (".log", ".out", ".err")
    ]
    assert logs
    assert not [path for path in logs if head.token.encode() in path.read_bytes()]
