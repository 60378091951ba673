"""What a sweep file names by import path is imported when the file is read, and mistakes have their line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from lossweep.search.running.preflight import check_before_loading, check_before_training
from lossweep.search.sweep_spec import ResourceSpec, SweepSpec
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from tests.ranges import check_range

SWEEP = """\
name: mine
data: {source: scenes, train: 8, val: 4, test: 2, tile: 64}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}
space: {preset: single}
objective: {use_case: balanced}
budget: {trials: 2, epochs: 2}
"""
GUARDS = """\
from lossweep.trainers.guards import Rule
from pydantic import BaseModel, Field


class Level(BaseModel):
    level: float = Field(default=0.5, gt=0.0)


class TooHigh(Rule):
    spec_type = Level


class Broken(Rule):
    def __init__(self, spec, prior):
        raise RuntimeError("no luck")
"""


@pytest.fixture(autouse=True)
def _guards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "guards_beside").mkdir()
    (tmp_path / "guards_beside" / "the_sweep.py").write_text(GUARDS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("guards_beside", "guards_beside.the_sweep"):
        sys.modules.pop(name, None)


def read(tmp_path: Path, guards: str) -> SweepSpec:
    (tmp_path / "sweep.yaml").write_text(SWEEP + guards)
    return SweepSpec.load(tmp_path / "sweep.yaml")


def test_a_users_own_guard_is_read(tmp_path: Path) -> None:
    spec = read(tmp_path, "guards: {guards_beside.the_sweep:TooHigh: {level: 2}, stuck_loss: null}\n")
    assert spec.guards.own == {"guards_beside.the_sweep:TooHigh": {"level": 2}}
    assert spec.guards.model_dump()["stuck_loss"] is None
    assert SweepSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_all_that_is_wrong_with_guards_is_said_at_once_by_line(tmp_path: Path) -> None:
    guards = """\
guards:
  guards_beside.the_sweep:TooHigh:
    level: -1
  guards_beside.the_sweep:TooLow: {}
  nowhere_to_be_found:Guard: {}
sampler: {sampler: "nowhere_to_be_found:Sampler"}
"""
    with pytest.raises(UserError) as raised:
        read(tmp_path, guards)
    found = {str(problem).partition("sweep.yaml:")[2] for problem in raised.value.problems}
    assert {line for line in found if "guards" in line} == {
        "9: guards.guards_beside.the_sweep:TooHigh.level: is out of range; found -1; allowed: a number > 0.0",
        "10: guards.guards_beside.the_sweep:TooLow: guards_beside.the_sweep has no 'TooLow'; "
        "found 'guards_beside.the_sweep:TooLow'",
        "11: guards.nowhere_to_be_found:Guard: there is no module 'nowhere_to_be_found' to import; "
        "found 'nowhere_to_be_found:Guard'; is its folder on PYTHONPATH?",
    }
    assert any("sampler.sampler" in line for line in found)


def test_a_misspelt_guard_is_an_unknown_key_beside_other_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, "guards:\n  stuck_los: {}\n  loss_spike: {z: -1}\n")
    first, second = raised.value.problems
    assert (first.line, first.key, first.hint) == (8, "guards.stuck_los", "did you mean 'stuck_loss'?")
    assert (second.line, second.key) == (9, "guards.loss_spike.z")


def test_parameters_of_a_guard_that_are_no_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="guards") as raised:
        read(tmp_path, "guards:\n  guards_beside.the_sweep:TooHigh: 3\n")
    assert "is not keys with values" in str(raised.value)


def test_a_guard_that_cannot_be_built_is_told_before_training(tmp_path: Path) -> None:
    spec = read(tmp_path, "guards: {guards_beside.the_sweep:Broken: {}}\n")
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
    check_before_loading(spec)
    with pytest.raises(UserError, match="guards: building it raised RuntimeError: no luck") as raised:
        check_before_training(spec, prior, 3)
    assert "guards_beside.the_sweep:Broken" in str(raised.value)


def test_a_limit_for_evaluations_needs_workers_that_can_be_ended(tmp_path: Path) -> None:
    assert read(tmp_path, "").resources.evaluation_limit_s is None
    limited = read(tmp_path, "resources: {evaluation_minutes: 1.5}\n")
    assert limited.resources.evaluation_limit_s == 90.0
    for wrong, words in (
        ("runner: inline, evaluation_minutes: 5", "needs workers that can be ended: runner: tune"),
        ("evaluation_minutes: 0", "out of range"),
        ("evaluation_minutes: .inf", "evaluation_minutes"),
    ):
        with pytest.raises(UserError, match=words):
            read(tmp_path, f"resources: {{{wrong}}}\n")


RANGES = {
    "seed": "[0, )",
    "budget.trials": "[1, )",
    "budget.epochs": "[1, )",
    "budget.hours": "(0.0, )",
    "resources.parallel": "[1, )",
    "resources.cpus_per_trial": "(0.0, )",
    "resources.gpus_per_trial": "[0.0, 1.0]",
    "resources.max_failures": "[0, )",
    "controls.share": "[0.0, 1.0]",
    "controls.at_least": "[1, )",
    "confirm.top": "[1, )",
    "confirm.seeds": "[2, )",
    "confirm.margin": "[0.0, )",
}


@pytest.mark.parametrize("key", RANGES)
def test_a_number_is_accepted_within_its_range(key: str) -> None:
    def read(value: float) -> None:
        part, _, name = key.rpartition(".")
        data = yaml.safe_load(SWEEP) | {"confirm": {}}
        (data.setdefault(part, {}) if part else data)[name] = value
        SweepSpec.model_validate(data)

    check_range(read, RANGES[key])


def test_a_trial_holds_at_most_the_one_gpu_that_it_uses() -> None:
    assert ResourceSpec().gpus_per_trial is None
    for share in (0.0, 0.3, 1.0):
        assert ResourceSpec(gpus_per_trial=share).gpus_per_trial == share
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        ResourceSpec(gpus_per_trial=2)


def test_workers_get_what_is_named_but_never_the_database() -> None:
    assert ResourceSpec(environment=("AWS_SECRET_ACCESS_KEY",)).environment == ("AWS_SECRET_ACCESS_KEY",)
    with pytest.raises(ValidationError, match="workers never get the sweep's database"):
        ResourceSpec(environment=("MY_TOKEN", "LOSSWEEP_DATABASE"))


@pytest.mark.parametrize(
    ("name", "fits"), [("a", True), ("v2.1_b-c", True), ("a" * 63, True), ("a" * 64, False)]
)
def test_names(name: str, fits: bool) -> None:
    data = yaml.safe_load(SWEEP) | {"name": name}
    if fits:
        assert SweepSpec.model_validate(data).name == name
        return
    with pytest.raises(ValidationError, match="name"):
        SweepSpec.model_validate(data)
