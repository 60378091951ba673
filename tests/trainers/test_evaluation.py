"""Evaluations cross processes, checkpoints and databases as plain data."""

from __future__ import annotations

import json
from dataclasses import replace

from lossweep.trainers.evaluation import Evaluation, GuardVerdict

EVALUATION = Evaluation(
    step=10,
    epoch=1,
    epochs=2,
    phase=0,
    cycle=0,
    loss_name="jaccard",
    learning_rate=1e-3,
    metrics={"ap": 0.5, "recall_at_precision_0.2": 0.75},
    threshold=30.5,
    floor_thresholds={"recall_at_precision_0.2": -29.25},
    verdict=GuardVerdict("plateau", 10, 0, "it stands still", {"gradient_norm": 0.0}),
)


def test_an_evaluation_comes_back_from_json() -> None:
    assert Evaluation.from_dict(json.loads(json.dumps(EVALUATION.to_dict()))) == EVALUATION


def test_one_written_before_floors_had_thresholds_is_still_read() -> None:
    old = EVALUATION.to_dict()
    del old["floor_thresholds"]
    read = Evaluation.from_dict(old)
    assert read.floor_thresholds == {}
    assert read.threshold == 30.5


def test_what_the_seconds_went_to_comes_back_and_is_missing_of_before() -> None:
    new = replace(EVALUATION, seconds=4.0, spent={"training": 3.0, "evaluation": 1.0})
    read = Evaluation.from_dict(json.loads(json.dumps(new.to_dict())))
    assert read == new
    assert read.time_shares == {"training": 0.75, "evaluation": 0.25}
    old = Evaluation.from_dict({name: value for name, value in new.to_dict().items() if name != "spent"})
    assert old.time_shares == {}
    assert old == replace(new, spent={})
    assert "spent" not in old.to_dict(), "written as it was read"


def test_what_was_used_comes_back_and_makes_no_evaluation_another() -> None:
    used = {"cores": 1.5, "memory_mib": 700.0}
    new = replace(EVALUATION, used=used)
    assert new == EVALUATION
    assert Evaluation.from_dict(json.loads(json.dumps(new.to_dict()))).used == used
    assert "used" not in EVALUATION.to_dict()
