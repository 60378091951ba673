"""Sweeps of a few seconds: simulated training, real conductor, ledger, driver and runners."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossweep.search.running.task import TrainingTask
from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.class_prior import ClassPrior

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))


def spec(name: str = "small", trials: int = 7, epochs: int = 4, **changes: Any) -> SweepSpec:
    """A sweep that prunes nothing and proposes at random, unless ``changes`` say so."""
    plain: dict[str, Any] = {
        "name": name,
        "seed": 3,
        "data": {"source": "scenes"},
        "training": {"batch": 8},
        "space": {"preset": "single"},
        "objective": {"use_case": "balanced"},
        "pruning": {"pruner": "none"},
        "sampler": {"sampler": "random"},
        "budget": {"trials": trials, "epochs": epochs},
        "resources": {"runner": "inline"},
    }
    return SweepSpec.model_validate({**plain, **changes})


def task(
    folder: Path, planted: Mapping[int, str] | None = None, delay: float = 0.0, fingerprint: str = "sha256:0"
) -> TrainingTask:
    return TrainingTask(PlantedTrainer(folder, delay, dict(planted or {})), PRIOR, fingerprint)


def workspace(root: Path, url: str | None = None) -> Workspace:
    return Workspace(root, url or f"sqlite:///{root / 'lossweep.db'}", f"sqlite:///{root / 'mlflow.db'}")
