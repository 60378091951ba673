"""The driver that `faults_kills` starts and kills: one sweep, or the rest of it, in a process of its own.

It marks in a file whether it is in the middle of a checkpoint, an `ask` or an MLflow write. The marks
outlive a SIGKILL, and so tell where it fell.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from faults_sweep import NAME, spec, task, workspace

from lossweep.dashboards.mlflow.store import MlflowStore
from lossweep.dashboards.mlflow.tracking import MlflowListener
from lossweep.search.conducting.conductor import Conductor
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.existing import existing_sweep
from lossweep.search.simulation.planted_trainer import PlantedTrainer

SECTIONS: dict[str, list[tuple[type, str]]] = {
    "its start": [],
    "a checkpoint": [(PlantedTrainer, "_save")],
    "an ask": [(Conductor, "ask")],
    "an MLflow write": [(MlflowStore, "_create"), (MlflowStore, "_log"), (MlflowStore, "_close")],
}
"""What is marked, and the methods that are it; a driver's start is all before its first trial."""


def marks(root: Path) -> Path:
    """The file: a byte a section, 1 while the driver is inside."""
    return root / "marks"


def sweep_result(root: Path) -> set[str]:
    """The sections that the driver is in, or was in when it was killed."""
    return {name for name, byte in zip(SECTIONS, marks(root).read_bytes(), strict=True) if byte}


def mark_sections(root: Path) -> None:
    """Let this process mark the sections, from here on."""
    file = os.open(marks(root), os.O_RDWR)
    for index, (name, methods) in enumerate(SECTIONS.items()):
        for owner, method in methods:
            setattr(owner, method, _marked(getattr(owner, method), file, index, ends_start=name == "an ask"))


def _marked(original: Callable[..., Any], file: int, index: int, ends_start: bool) -> Callable[..., Any]:
    @functools.wraps(original)
    def marked(*args: Any, **kwargs: Any) -> Any:
        os.pwrite(file, b"\1", index)
        try:
            return original(*args, **kwargs)
        finally:
            os.pwrite(file, b"\0", index)
            if ends_start:
                os.pwrite(file, b"\0", list(SECTIONS).index("its start"))

    return marked


def main() -> None:
    """Drive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("url")
    parser.add_argument("runner")
    parser.add_argument("trials", type=int)
    parser.add_argument("epochs", type=int)
    parser.add_argument("delay", type=float)
    parser.add_argument("writing", type=float)
    given = parser.parse_args()
    mark_sections(given.root)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    where = workspace(given.root, given.url)
    work = task(given.root / "work", given.delay, given.writing)
    sweep = spec(given.trials, given.epochs, given.runner)
    resume = existing_sweep(where, NAME) is not None
    listener = MlflowListener(where.mlflow_uri, artifacts=where.artifacts)
    run_sweep(sweep, where, [listener], resume=resume, task=work)


if __name__ == "__main__":
    main()
