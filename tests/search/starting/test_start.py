"""Choosing, with the measurement planted: what doesn't fit gives way to what does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lossweep.search.starting import start
from lossweep.search.starting.budget import Pace
from lossweep.search.starting.models import Choice
from lossweep.search.starting.proposal import Proposal
from lossweep.search.starting.wishes import Machine, Wishes
from lossweep.search.sweep_spec import SweepSpec
from lossweep.trainers.data.checking.check import check_data
from lossweep.trainers.loop.memory import OutOfMemory

DATA: dict[str, Any] = {"source": "scenes", "train": 12, "val": 4, "test": 4}


def proposed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pace: Any, hours: float = 10.0) -> Proposal:
    monkeypatch.setattr(start, "measured", pace)
    monkeypatch.setattr(start.models, "with_weights", lambda choice, prior, bands: choice)
    report = check_data(start.data_spec(DATA, tmp_path), tmp_path / "cache")
    wishes = Wishes("scenes", "balanced", hours)
    return start.propose(wishes, Machine(2), DATA, report, tmp_path, tmp_path / "cache")


def test_the_larger_model_is_taken_where_there_is_time_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rates = {"resnet18": 0.1, "tu-test_resnet": 100.0}

    def pace(spec: SweepSpec, data: object) -> Pace:
        return Pace(rates[spec.model.encoder], 1.0)

    assert proposed(monkeypatch, tmp_path, pace, 30.0).choice.keys["encoder"] == "resnet18"
    assert proposed(monkeypatch, tmp_path, pace, 1.0).choice.keys["encoder"] == "tu-test_resnet"
    asked: list[str] = []
    proposed(
        monkeypatch, tmp_path, lambda spec, data: asked.append(spec.model.encoder) or Pace(9.0, 1.0), 0.1
    )
    assert asked == ["tu-test_resnet"]


def test_a_batch_that_finds_no_memory_is_halved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    batches: list[int] = []

    def pace(spec: SweepSpec, data: object) -> Pace:
        batches.append(spec.training.batch)
        if spec.training.batch > 8:
            raise OutOfMemory("no memory", spec.training.batch)
        return Pace(100.0, 1.0)

    many = Choice({"encoder": "tu-test_resnet"}, 32, "Large.")
    monkeypatch.setattr(start.models, "choices", lambda gpu, tile, hours: (many,))
    found = proposed(monkeypatch, tmp_path, pace)
    assert batches == [12, 6]  # twelve images: no batch holds more than one epoch shows
    assert found.sweep()["training"] == {"batch": 6}
