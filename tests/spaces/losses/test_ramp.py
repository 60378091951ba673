"""A parameter that goes from one value to another: its values, its one form, and where it may stand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lossweep.spaces.files.errors import UserError
from lossweep.spaces.files.validation import validated
from lossweep.spaces.losses.ramp import RAMP_SHAPES, Ramp, fixed, ramps, settled
from lossweep.spaces.losses.terms import (
    Compound,
    Dice,
    Focal,
    FrequencyWeights,
    ImportedLoss,
    Loss,
    Tversky,
    WeightedCrossEntropy,
    WeightedTerm,
)
from lossweep.spaces.schedules.schedule import LossSchedule

LOSS: TypeAdapter[Loss] = TypeAdapter(Loss)

finite = st.floats(-1e300, 1e300)
shapes = st.sampled_from(RAMP_SHAPES)


@given(finite, finite, shapes, st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=9))
def test_a_ramp_goes_from_one_end_to_the_other_and_never_beyond(
    start: float, end: float, shape: Any, shares: list[float]
) -> None:
    ramp = Ramp(start, end, shape)
    assert (ramp.at(0.0), ramp.at(1.0), ramp.at(-0.1), ramp.at(1.1)) == (start, end, start, end)
    values = [ramp.at(share) for share in shares]
    assert all(min(start, end) <= value <= max(start, end) for value in values)
    way = [ramp.at(share) for share in (0.0, 0.125, 0.25, 0.5, 0.75, 0.875, 1.0)]
    slack = 1e-12 * max(abs(start), abs(end))
    rising = [after - before for before, after in pairwise(way)]
    assert all(step >= -slack for step in rising) or all(step <= slack for step in rising)


def test_linear_and_cosine_by_hand() -> None:
    assert [Ramp(1.0, 3.0).at(share) for share in (0.0, 0.25, 0.5, 1.0)] == [1.0, 1.5, 2.0, 3.0]
    cosine = [Ramp(1.0, 3.0, "cosine").at(share) for share in (0.0, 1 / 3, 0.5, 2 / 3, 1.0)]
    assert cosine == pytest.approx([1.0, 1.5, 2.0, 2.5, 3.0])


@pytest.mark.parametrize("shape", [None, *RAMP_SHAPES])
def test_equal_ends_are_a_number_and_the_default_shape_is_not_written(shape: str | None) -> None:
    given_shape = {} if shape is None else {"shape": shape}
    read = LOSS.validate_python({"term": "focal", "gamma": {"from": 3, "to": 3.0, **given_shape}})
    assert read == Focal(gamma=3.0)
    assert hash(read) == hash(Focal(gamma=3.0))
    ramped = LOSS.validate_python({"term": "focal", "gamma": {"from": 0, "to": 3.0, **given_shape}})
    written = {"from": 0.0, "to": 3.0} | ({"shape": shape} if shape == "cosine" else {})
    assert ramped.model_dump(mode="json", exclude_defaults=True) == {"term": "focal", "gamma": written}
    assert ramped == Focal(gamma=Ramp(0.0, 3.0, "cosine" if shape == "cosine" else "linear"))
    assert hash(ramped) == hash(LOSS.validate_json(LOSS.dump_json(ramped)))


def test_a_negative_zero_is_the_same_ramp() -> None:
    lines = [f"focal(gamma={zero}..2) @1e-3 x2" for zero in ("0", "-0.0", "0e3")]
    schedules = [LossSchedule.parse(line) for line in lines]
    assert len({(schedule, schedule.key, str(schedule)) for schedule in schedules}) == 1


WEIGHT = {"sum": [{"loss": {"term": "dice"}}, {"weight": "HERE", "loss": {"term": "jaccard"}}]}


@pytest.mark.parametrize(
    ("loss", "ramp", "key", "message"),
    [
        ({"term": "focal", "gamma": "HERE"}, {"from": 0, "to": 9}, "gamma.to", "is out of range"),
        ({"term": "focal", "gamma": "HERE"}, {"from": -1, "to": 2}, "gamma.from", "is out of range"),
        ({"term": "focal", "gamma": "HERE"}, {"from": 1}, "gamma.to", "is missing"),
        (
            {"term": "focal", "gamma": "HERE"},
            {"from": 1, "to": 2, "shap": 1},
            "gamma.shap",
            "unknown key 'shap'",
        ),
        (
            {"term": "focal", "gamma": "HERE"},
            {"from": 1, "to": 2, "shape": "drop"},
            "gamma.shape",
            "is not one of the choices",
        ),
        ({"term": "focal", "gamma": "HERE"}, {"from": 1, "to": True}, "gamma.to", "is not a number"),
        ({"term": "focal", "gamma": "HERE"}, {"from": 1, "to": float("inf")}, "gamma.to", "is not finite"),
        ({"term": "focal", "alpha": "HERE"}, {"from": 1.0, "to": 1.0}, "alpha.from", "is out of range"),
        ({"term": "dice", "smooth": "HERE"}, {"from": 1, "to": 2}, "smooth", "is not a number"),
        (WEIGHT, {"from": 0, "to": 0}, "sum[1].weight.to", "stays 0 throughout"),
        (WEIGHT, {"from": 0, "to": -1}, "sum[1].weight.to", "is out of range"),
        (WEIGHT, True, "sum[1].weight", "is not a number"),
        (
            {"term": "weighted_ce", "weights": {"power": "HERE"}},
            {"from": 0, "to": 3},
            "weights.power.to",
            "is out of range",
        ),
    ],
)
def test_wrong_ramps_are_named_with_their_place(loss: Any, ramp: Any, key: str, message: str) -> None:
    def filled(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: filled(value) for name, value in node.items()}
        return [filled(each) for each in node] if isinstance(node, list) else ramp if node == "HERE" else node

    with pytest.raises(UserError) as raised:
        validated(LossSchedule, {"phases": [{"loss": filled(loss), "learning_rate": 1e-3, "epochs": 2}]})
    problem = raised.value.problems[0]
    assert (problem.key, problem.message) == (f"phases[0].loss.{key}", message)


def test_a_weight_may_begin_or_end_at_zero_where_a_number_may_not() -> None:
    for ends in ((0.0, 1.0), (1.0, 0.0)):
        assert WeightedTerm(weight=Ramp(*ends), loss=Dice()).weight == Ramp(*ends)
    with pytest.raises(ValidationError):
        WeightedTerm(weight=0.0, loss=Dice())


def test_a_loss_is_settled_at_any_depth() -> None:
    weights = FrequencyWeights(power=Ramp(0.0, 1.0), cap=50.0)
    own = ImportedLoss(term="a.b:C", parameters={"x": {"from": 0, "to": 1}})
    loss = Compound(
        sum=(
            WeightedTerm(weight=Ramp(0.0, 2.0), loss=Focal(gamma=Ramp(4.0, 0.0), alpha=Ramp(0.25, 0.75))),
            WeightedTerm(loss=WeightedCrossEntropy(weights=weights)),
            WeightedTerm(weight=3.0, loss=own),
        )
    )
    assert list(ramps(loss)) == [Ramp(0.0, 1.0), Ramp(0.0, 2.0), Ramp(4.0, 0.0), Ramp(0.25, 0.75)]
    half = settled(loss, 0.5)
    assert not any(ramps(half))
    assert {part.loss: part.weight for part in half.sum} == {
        Focal(gamma=2.0, alpha=0.5): 1.0,
        WeightedCrossEntropy(weights=FrequencyWeights(power=0.5, cap=50.0)): 1.0,
        own: 3.0,
    }
    assert settled(half, 0.1) is half, "nothing is left to change, a user's own parameters are not ours"


def test_a_ramp_has_no_value_by_itself() -> None:
    assert fixed(Tversky().alpha) == 0.3
    with pytest.raises(TypeError, match="settle the loss first"):
        fixed(Tversky(alpha=Ramp(0.0, 1.0)).alpha)


KEYS = {
    "weighted_ce(power=0.7) @1e-3 until recall>=0.9 in 2..6 -> jaccard @1e-4 x4 | 3 cycles | 30 epochs": (
        "2aa3ba56cc4a02e12c4b411d06e5cf829674b61a7099ef9c2a1e37c340a6c789"
    ),
    "focal(gamma=3, alpha=0.9) @5e-4 x6 warmup 100 -> cross_entropy + 0.5*dice @1e-4 x4 cosine fresh": (
        "aa9d4fe379b78d96cd5d4c3dec245f680c61f845fb9272d60c636491b28130f9"
    ),
    "tversky(alpha=0.2, beta=0.8) @1e-3 x2 -> focal_tversky(gamma=1.5) @1e-4 x2": (
        "9abddc86a8bc0c144ad4eef571afb47b94a311b206daccfea3d0f2f454b5d421"
    ),
    "focal(gamma=0, weights=[1, 42.7]) @1e-3 x2 -> weighted_ce(beta=0.999, cap=50) @1e-3 x1": (
        "eda450cd85fec502fb1b81061dcb1f94e044a81c2ebe4ae9b5f93397c9cc450f"
    ),
}
"""Taken before there were ramps: databases and checkpoints hold such keys."""


@pytest.mark.parametrize("line", KEYS)
def test_the_keys_of_what_does_not_ramp_are_what_they_were(line: str) -> None:
    assert LossSchedule.parse(line).key == KEYS[line]


def test_the_json_schema_knows_both_forms() -> None:
    number, ramp = Focal.model_json_schema()["properties"]["gamma"]["oneOf"]
    assert number == {"type": "number", "minimum": 0.0, "maximum": 5.0}
    assert (ramp["required"], ramp["additionalProperties"]) == (["from", "to"], False)
    assert ramp["properties"]["to"].items() >= number.items()
    assert ramp["properties"]["shape"]["enum"] == ["linear", "cosine"]
