"""A user's own guard by import path."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.guards import build_guards
from lossweep.trainers.guards.own import check_own
from lossweep.trainers.guards.spec import GuardSpec

PRIOR = ClassPrior(names=("ground", "car"), frequencies=(0.99, 0.01))

MODULE = """\
from dataclasses import dataclass

from pydantic import BaseModel, Field

from lossweep.trainers.guards import Evidence, Rule


class Level(BaseModel):
    level: float = Field(default=0.5, gt=0.0)
    patience: int = Field(default=1, ge=1)


@dataclass
class Seen:
    streak: int = 0


class TooHigh(Rule[Level, Seen]):
    spec_type = Level
    state_type = Seen

    def on_step(self, step):
        self.state.streak = self.state.streak + 1 if step.loss > self.spec.level else 0
        if self.state.streak >= self.spec.patience:
            return Evidence(f"the loss is {step.loss:.3g}", {"loss": step.loss})


class Always(Rule):
    def on_step(self, step):
        return Evidence("always")


class Broken(Rule):
    def __init__(self, spec, prior):
        raise RuntimeError("no luck")


class Forgetful(Rule):
    state_type = dict


not_a_rule = 3
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "their_guards.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("their_guards", None)


def spec_of(**guards: Any) -> GuardSpec:
    return GuardSpec.model_validate({f"their_guards:{name}": values for name, values in guards.items()})


def test_it_watches_after_the_others_and_is_named_by_its_path() -> None:
    guards = build_guards(spec_of(TooHigh={"level": 0.7, "patience": 2}), PRIOR)
    assert guards.on_step(1, 0.8, 1.0) is None
    verdict = guards.on_step(2, 0.9, 1.0)
    assert verdict is not None
    assert (verdict.rule, verdict.message) == ("their_guards:TooHigh", "the loss is 0.9")
    assert verdict.figures == {"loss": 0.9}
    worse = build_guards(spec_of(Always={}), PRIOR).on_step(1, float("nan"), 1.0)
    assert worse is not None
    assert worse.rule == "non_finite"


def test_what_it_remembers_survives_a_checkpoint() -> None:
    spec = spec_of(TooHigh={"patience": 2})
    before = build_guards(spec, PRIOR)
    assert before.on_step(1, 0.8, 1.0) is None
    after = build_guards(spec, PRIOR)
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert after.on_step(2, 0.8, 1.0) is not None


def test_null_switches_it_off() -> None:
    assert build_guards(spec_of(Always=None), PRIOR).on_step(1, 0.5, 1.0) is None
    assert spec_of(Always=None).own == {}


def test_it_is_part_of_the_spec_and_nothing_else_is() -> None:
    spec = spec_of(TooHigh={"patience": 2}, Always={})
    assert spec != GuardSpec()
    assert spec != spec_of(TooHigh={"patience": 3}, Always={})
    assert GuardSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert GuardSpec.model_validate_json(spec.model_dump_json()) == spec
    assert list(spec.own) == ["their_guards:Always", "their_guards:TooHigh"]
    assert GuardSpec().model_dump().keys() == GuardSpec.model_fields.keys()


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("their_guards:Nothing", {}, "their_guards has no 'Nothing'"),
        ("their_guards:too_high", {}, "did you mean 'TooHigh'"),
        ("no_such_module:Guard", {}, "no module 'no_such_module'"),
        (
            "their_guards:not_a_rule",
            {},
            r"is no guard; .*; allowed: a subclass of lossweep",
        ),
        ("their_guards:Forgetful", {}, "no dataclass"),
        ("their_guards:TooHigh", {"level": 0}, "^level: is out of range; found 0; allowed: a number > 0"),
        ("their_guards:TooHigh", {"levle": 1}, "unknown key 'levle'; allowed: level, patience; did you mean"),
        ("their_guards:Always", {"level": 1}, "unknown key 'level'"),
    ],
)
def test_what_is_wrong_is_said_in_the_users_words(name: str, parameters: dict[str, Any], words: str) -> None:
    (problem,) = check_own(name, parameters)
    with pytest.raises(UserError, match=words):
        build_guards(GuardSpec.model_validate({name: parameters}), PRIOR)
    assert str(problem)


def test_what_it_raises_while_it_is_built_is_said() -> None:
    with pytest.raises(UserError, match="RuntimeError: no luck; found 'their_guards:Broken'"):
        build_guards(spec_of(Broken={}), PRIOR)


@pytest.mark.parametrize("parameters", [3, [1], {"level": float("nan")}])
def test_parameters_are_plain_keys_with_finite_values(parameters: Any) -> None:
    with pytest.raises(ValidationError):
        spec_of(TooHigh=parameters)
