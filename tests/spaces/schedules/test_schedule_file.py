"""Exported schedules: what is known of them, and the JSON Schema editors check them with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import ScheduleFile, load_schedule

EXPORTED = """\
format: lossweep-schedule/1
classes: [background, vehicle]
phases:
  - loss: {term: weighted_ce, weights: [1.0, 42.7]}
    learning_rate: 1.1e-3
    until: {metric: recall, at_least: 0.9, epochs: [2, 6]}
  - {loss: {term: jaccard}, learning_rate: 9.0e-5, epochs: 4}
cycles: 3
threshold: 0.61
logit_threshold: 0.447
realised:
  - {phase: 0, cycle: 0, from_step: 0, to_step: 30, from_epoch: 0, epochs: 3}
  - {phase: 1, cycle: 0, from_step: 30, to_step: 70, from_epoch: 3, epochs: 4}
  - {phase: 2, cycle: 1, from_step: 70, to_step: 90, from_epoch: 7, epochs: 2}
provenance: {sweep: vehicles, trial: 41, scores: {object_f1: 0.8}}
"""


def test_an_exported_file_is_read_and_written(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text(EXPORTED)
    file = load_schedule(path)
    assert file.classes == ("background", "vehicle")
    assert (file.threshold, file.logit_threshold) == (0.61, 0.447)
    assert file.provenance["trial"] == 41
    assert file.schedule == LossSchedule(phases=file.phases, cycles=3)
    assert file.key == file.schedule.key
    assert ScheduleFile.from_yaml(file.to_yaml()) == file
    assert ScheduleFile.from_json(file.to_json()) == file
    # A plain schedule is a file as well.
    plain = tmp_path / "plain.yaml"
    plain.write_text(file.schedule.to_yaml())
    assert load_schedule(plain).schedule == file.schedule


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("\nthreshold: 0.61", "\nthreshold: 1.61", "9: threshold: is out of range"),
        ("logit_threshold: 0.447", "logit_threshold: .inf", "10: logit_threshold: is not finite"),
        ("classes: [background, vehicle]", "classes: [background]", "2: classes: is too short"),
        ("phase: 2,", "phase: -2,", "14: realised[2].phase: is out of range"),
        ("provenance:", "origin:", "15: origin: unknown key 'origin'"),
    ],
)
def test_wrong_files_are_refused(right: str, wrong: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text(EXPORTED.replace(right, wrong))
    with pytest.raises(UserError) as raised:
        load_schedule(path)
    assert str(raised.value).startswith(f"{path}:{expected}")


def plain(line: str) -> dict[str, Any]:
    return LossSchedule.parse(line).plain()


@pytest.mark.parametrize(
    "schedule",
    [
        plain("cross_entropy @1e-3 x8"),
        plain(
            "weighted_ce(power=0.7) @1e-3 until recall>=0.9 in 2..6 back <0.8 -> jaccard @1e-4 x4 | 3 cycles"
        ),
        plain("focal(weights=[1, 2]) + 2*dice @1e-3 x8 cosine warmup 5 fresh | 9 epochs"),
        plain("focal(beta=0.9, gamma=1) @1e-3 x8"),
        plain('my.own:Loss(a={"b": [1, null]}) @1 x1'),
    ],
)
def test_the_json_schema_takes_what_is_right(schedule: dict[str, Any]) -> None:
    schema = LossSchedule.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(schedule, schema, jsonschema.Draft202012Validator)


def test_the_json_schema_takes_an_exported_file() -> None:
    jsonschema.validate(
        yaml.safe_load(EXPORTED), ScheduleFile.model_json_schema(), jsonschema.Draft202012Validator
    )


@pytest.mark.parametrize(
    "change",
    [
        {"phases": []},
        {"format": "lossweep-schedule/2"},
        {"cycles": 0},
        {"cycle": 2},
        {"phases": [{"loss": {"term": "jacard"}, "learning_rate": 1, "epochs": 1}]},
        {"phases": [{"loss": {"term": "focal", "gamma": 9}, "learning_rate": 1, "epochs": 1}]},
        {"phases": [{"loss": {"term": "focal", "gama": 2}, "learning_rate": 1, "epochs": 1}]},
        {"phases": [{"loss": {"term": "dice"}, "learning_rate": 1}]},
        {"phases": [{"loss": {"term": "dice"}, "epochs": 1}]},
        {"phases": [{"loss": {"term": "weighted_ce"}, "learning_rate": 1, "epochs": 1}]},
        {"phases": [{"loss": {"term": "weighted_ce", "weights": [1]}, "learning_rate": 1, "epochs": 1}]},
    ],
)
def test_the_json_schema_refuses_what_is_wrong(change: dict[str, Any]) -> None:
    schedule = {**plain("cross_entropy @1e-3 x8"), **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(schedule, LossSchedule.model_json_schema(), jsonschema.Draft202012Validator)
