"""Somebody with a sweep on a cluster: the code and the files, and the command line far from the cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from ray_head import ROOT, Head

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

    def write(self, *names: str) -> Path:
        """Write a sweep file of each name; return the folder in which their model notes and looks."""
        seen = self.folder.parent / "seen"
        seen.mkdir()
        (self.folder / "my_model.py").write_text(MODEL.format(folder=str(seen)))
        for name in names:
            (self.folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **SWEEP}))
        return seen

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
