"""deploy/slurm.sh on a real Slurm with two nodes: a sweep over Ray, and its way on after a stop."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from compose_file import ROOT
from slurm import said, slurm

from tests.lossweep.test_sweep import SWEEP

SCRIPT = ROOT / "deploy" / "slurm.sh"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp", ignore_cleanup_errors=True) as short:
        yield Path(short)


@pytest.mark.slow
def test_a_sweep_runs_on_the_nodes_of_an_allocation(folder: Path, postgres: str) -> None:
    (folder / "work").mkdir()
    (folder / "work" / "small.yaml").write_text(SWEEP)
    with slurm(folder, nodes=2) as environment:
        environment |= {
            "LOSSWEEP_DATABASE": postgres,
            "LOSSWEEP_HOME": str(folder / "home"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]]),
            "PYTHONPATH": str(ROOT),
        }
        words = ["--nodes=2", "--cpus-per-task=1", "--parsable", "--output=out", str(SCRIPT), "small.yaml"]
        few = ["--set", "budget.trials=4", "--set", "budget.epochs=2", "--set", "resources.parallel=2"]
        job = subprocess.run(
            ["sbatch", *words, *few], cwd=folder / "work", env=environment, capture_output=True, text=True
        )
        assert job.returncode == 0, job.stderr
        until = time.monotonic() + 300
        while time.monotonic() < until and said(environment, "squeue", "-h", "-j", job.stdout.strip()):
            time.sleep(0.5)
    printed = (folder / "work" / "out").read_text()
    assert "[4/4] Sweep small finished" in printed, printed
    logs = sorted(path.name for path in (folder / "home" / "logs").glob("ray-*.log"))
    assert logs == [f"ray-{job.stdout.strip()}-n0.log", f"ray-{job.stdout.strip()}-n1.log"]
    assert postgres not in printed


@pytest.mark.parametrize(
    ("missing", "said_of_it"),
    [("LOSSWEEP_HOME", "a folder that all nodes see"), ("LOSSWEEP_DATABASE", "PostgreSQL")],
)
def test_what_is_missing_is_said_before_anything_starts(missing: str, said_of_it: str) -> None:
    given = {
        "LOSSWEEP_HOME": "/home",
        "LOSSWEEP_DATABASE": "postgresql://host/name",
        "PATH": os.environ["PATH"],
    }
    del given[missing]
    ended = subprocess.run(["bash", str(SCRIPT), "s.yaml"], env=given, capture_output=True, text=True)
    assert ended.returncode == 2
    assert missing in ended.stderr
    assert said_of_it in ended.stderr


def test_without_a_sweep_it_says_how_it_is_used() -> None:
    ended = subprocess.run(["bash", str(SCRIPT)], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: sbatch deploy/slurm.sh SWEEP.yaml")
