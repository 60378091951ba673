"""Small scenes and a tiny model, for everything that really trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan

SCENES = ScenesSource(source="scenes", tile=64, train=12, val=6, test=4)
TINY = ModelSpec(encoder="tu-test_resnet", options={"encoder_depth": 3, "decoder_channels": (32, 16, 16)})
Plans = Callable[..., TrialPlan]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> SegmentationData:
    return load_data(SCENES, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def plan_of() -> Plans:
    """Plans of the tiny model: a schedule's line, the budget, and whatever else is to differ."""

    def plan_of(line: str, epochs: int, number: int = 0, seed: int = 7, **changes: Any) -> TrialPlan:
        plan = TrialPlan(
            number=number,
            seed=seed,
            schedule=LossSchedule.parse(line).with_budget(epochs),
            data=SCENES,
            model=TINY,
            training=TrainingSpec(batch=4),
            guards=GuardSpec(),
            measure=MeasureSpec(),
        )
        return replace(plan, **changes)

    return plan_of


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a module that can be imported by its name during the test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)

    return write
