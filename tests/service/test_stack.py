"""The whole service as docker-compose.yml starts it, natively: two sweeps, and everything taken away once."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import psutil
import pytest
import yaml
from cluster_client import MODEL, SWEEP, Client
from stack import Stack, stack, start_worker, until

from lossweep.dashboards.mlflow.consistency import run_of
from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import holder_of
from lossweep.spaces.schedules.schedule_file import load_schedule

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),  # a quarter of an hour where other processes take most of the machine
    pytest.mark.skipif(
        not os.environ.get("LOSSWEEP_LONG_TESTS"),
        reason="takes ten minutes: LOSSWEEP_LONG_TESTS=1 python -m pytest tests/service/test_stack.py",
    ),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack(workers=2) as started:
        yield started


def test_sweeps_survive_their_driver_a_node_and_mlflow(running: Stack, tmp_path: Path) -> None:
    client, seen = Client(running, tmp_path), tmp_path / "seen"
    seen.mkdir()
    (client.folder / "my_model.py").write_text(MODEL.format(folder=str(seen)))
    for name in ("one", "two"):
        sweep = {"name": name, **SWEEP, "confirm": {"top": 1, "seeds": 2}}
        (client.folder / f"{name}.yaml").write_text(yaml.safe_dump(sweep))
    for process in [client.start("submit", f"{name}.yaml") for name in ("one", "two")]:
        code, _, err = client.said(process)
        assert code == 0, err

    ledger = Ledger(running.database)

    def trained(name: str) -> int:
        return sum(len(trial.evaluations) for trial in ledger.history(name).recorded)

    def state(name: str) -> str:
        return str(ledger.history(name).state)

    def driver(name: str) -> int | None:
        holder, in_force = holder_of(ledger, name)
        return holder.pid if holder is not None and in_force else None

    until(lambda: ledger.find("one") and ledger.find("two") and trained("one") and trained("two"))
    running.stop("mlflow")
    running.stop("ray-worker", "-1")  # a machine that was taken away, with what it trained
    killed = driver("one")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    until(lambda: "MLflow at http://127.0.0.1" in "".join(log.read_text() for log in running.job_logs()))
    running.start("mlflow")
    assert client.run("stop", "two")[0] == 0
    until(lambda: driver("one") not in (None, killed))
    until(lambda: state("two") == "stopped" and driver("two") is None)
    (seen / "hurry").touch()
    start_worker(running, 1)
    resuming = client.start("resume", "two", "--follow")
    code, followed, err = client.run("logs", "one", "-f")
    assert code == 0, followed + err
    assert "Sweep one finished" in followed
    code, followed, err = client.said(resuming)
    assert code == 0, followed + err
    assert "Sweep two finished" in followed

    _, listed, _ = client.run("list")
    for name in ("one", "two"):
        sweep = ledger.history(name)
        assert sweep.state == "finished"
        assert sweep.confirmation is not None
        study = optuna.load_study(study_name=name, storage=ledger.storage)
        states = Counter(trial.state.name for trial in study.trials)
        assert not states["RUNNING"] + states["WAITING"] + states["FAIL"], states
        assert sum(states.values()) == len(sweep.recorded) >= 4
        assert f"{name} " in listed
        assert all(run_of(sweep, trial.number, running.mlflow) for trial in sweep.trials)
        code, _, err = client.run("export", name, "-o", f"{name}-best.yaml")
        assert code == 0, err
        assert load_schedule(client.folder / f"{name}-best.yaml").schedule
    # A node that went away is not the trials' fault.
    tries = [trial for name in ("one", "two") for trial in ledger.history(name).recorded]
    assert all(trial.outcome.name != "FAILED" for trial in tries)
    ledger.close()

    # Nodes have the object store in common and no folder but that of the decoded images.
    kept = [path.split("/")[2] for path in running.stored("lossweep/checkpoints")]
    assert set(kept) == {"one", "two"}
    assert not (running.home / "checkpoints").exists()
    assert not [*running.folder.glob("home-of-ray-worker*")]

    # Workers never saw the database's password; no command line and no log holds a secret.
    environments = [path.read_bytes() for path in seen.iterdir()]
    password = running.secrets["POSTGRES_PASSWORD"].encode()
    workers = [each for each in environments if b"RAY_RAYLET_PID" in each]
    assert workers
    assert not [each for each in workers if password in each]
    assert all(running.secrets["OBJECT_STORE_SECRET"].encode() in each for each in workers)
    told = [value.encode() for value in running.secrets.values()]
    lines = [" ".join(_words(process)).encode() for process in psutil.process_iter()]
    assert not [line for line in lines if any(secret in line for secret in told)]
    logs = [path for path in running.folder.rglob("*") if path.suffix in (".log", ".out", ".err")]
    assert logs
    assert not [path for path in logs if any(secret in path.read_bytes() for secret in told)]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
