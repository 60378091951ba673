"""The page about schedules shows what is so: its examples are read, its error is the one that comes."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.files.yaml_source import parse_yaml, validate
from lossweep.spaces.proposing.schedule_space import ScheduleSpace, SpaceSpec
from lossweep.spaces.proposing.space_spec import PRESETS
from lossweep.spaces.schedules.schedule import LossSchedule

PAGE = (Path(__file__).parents[3] / "docs" / "schedules.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))


def blocks(language: str, start: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language and text.startswith(start)]


def test_schedule_files_are_read() -> None:
    examples = blocks("yaml", "format:")
    assert len(examples) == 3
    for text in examples:
        schedule = LossSchedule.from_yaml(text)
        assert LossSchedule.parse(str(schedule)) == schedule


def test_lines_are_written_as_they_stand_there() -> None:
    (lines,) = blocks("schedule", "")
    assert len(lines.splitlines()) == 7
    for line in lines.splitlines():
        assert str(LossSchedule.parse(line)) == line


def test_spaces_are_read_and_drawn_from() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    examples = blocks("yaml", "space:")
    assert len(examples) == 3
    for text in examples:
        spec = validate(SpaceSpec, parse_yaml(text), at=("space",))
        space = ScheduleSpace(spec, 12, PRIOR)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(20):
            schedule = space.suggest(study.ask())
            assert space.suggest(optuna.trial.FixedTrial(space.parameters_of(schedule))) == schedule


def test_the_error_is_the_one_that_comes() -> None:
    (wrong,) = blocks("yaml", "# wrong.yaml")
    (expected,) = blocks("text", "wrong.yaml:")
    with pytest.raises(UserError) as raised:
        LossSchedule.from_yaml(wrong, "wrong.yaml")
    assert str(raised.value) == expected.rstrip("\n")


def test_all_presets_are_described() -> None:
    for preset in PRESETS:
        assert f"\n| `{preset}`" in PAGE
