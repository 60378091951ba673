"""Two sweeps on a real Ray cluster, from a client that has its address and its token alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
import yaml
from ray_head import ROOT, Head, ray_head

from lossweep.dashboards.mlflow.consistency import run_of
from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import holder_of
from lossweep.search.study.history import SweepHistory
from lossweep.search.workspace import Workspace
from lossweep.spaces.schedules.schedule_file import load_schedule

MODEL = """
import os, sys, time
from pathlib import Path
import torch

FOLDER = Path({folder!r})
IN_WORKER = Path(sys.argv[0]).name == "default_worker.py"

class Slow(torch.nn.Module):
    '''Trains slowly until the test lets it hurry; notes what it sees of its environment.'''

    def __init__(self, classes):
        super().__init__()
        self.inner = torch.nn.Conv2d(3, classes, 3, padding=1)

    def forward(self, x):
        if IN_WORKER and not (FOLDER / "hurry").exists():
            time.sleep(2.0)
        return self.inner(x)

def build(in_channels, classes):
    if IN_WORKER:
        (FOLDER / f"{{os.getpid()}}.environ").write_bytes(Path("/proc/self/environ").read_bytes())
    return Slow(classes)
"""

SWEEP = {
    "seed": 1,
    "data": {
        "source": "scenes",
        "classes": ["background", "vehicle"],
        "tile": 64,
        "train": 16,
        "val": 8,
        "test": 8,
    },
    "model": {"architecture": "my_model:build"},
    "training": {"batch": 8},
    "space": {"preset": "single"},
    "objective": {"use_case": "balanced"},
    "budget": {"trials": 4, "epochs": 4},
}

Said = tuple[int, str, str]


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head(cpus=2, MY_PASSWORD="geheim-word", MLFLOW_DISABLE_TELEMETRY="true") as started:
        yield started


class Client:
    """Somebody with a clean home directory, a folder of code, an address and a token."""

    def __init__(self, head: Head, folder: Path) -> None:
        self.folder = folder / "code"
        self.folder.mkdir(parents=True)
        (folder / "token").write_text(head.token)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "LOSSWEEP_"))
        }
        self.environment = {
            **kept,
            "HOME": str(folder / "nobody"),
            "XDG_CONFIG_HOME": str(folder / "nobody"),
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "RAY_API_SERVER_ADDRESS": head.url,
        }
        self.token = head.token

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "lossweep", *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def said(self, process: subprocess.Popen[str]) -> Said:
        out, err = process.communicate(timeout=600)
        assert self.token not in out + err
        assert "geheim" not in out + err
        return process.returncode, out, err

    def run(self, *arguments: str, **environment: str) -> Said:
        return self.said(self.start(*arguments, **environment))


def until(true: Callable[[], bool], patience: float = 600.0) -> None:
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def last_line(said: Said) -> str:
    assert said[0] == 2, said
    return said[2].splitlines()[-1]


@pytest.mark.slow
def test_two_sweeps_from_submission_to_export(head: Head, tmp_path: Path) -> None:
    client, where = Client(head, tmp_path), Workspace.at(head.home)
    seen = tmp_path / "seen"
    seen.mkdir()
    (client.folder / "my_model.py").write_text(MODEL.format(folder=str(seen)))
    for name in ("one", "two"):
        (client.folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **SWEEP}))

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


@pytest.mark.slow
def test_rays_own_stop_ends_a_sweep_in_good_order(head: Head, tmp_path: Path) -> None:
    """``ray job stop`` signals every process of the job at once, and kills what is left after a while."""
    client, seen = Client(head, tmp_path), tmp_path / "seen"
    seen.mkdir()
    (client.folder / "my_model.py").write_text(MODEL.format(folder=str(seen)))
    (client.folder / "three.yaml").write_text(yaml.safe_dump({"name": "three", **SWEEP}))
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
