"""What checkpoints are found by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from lossweep.spaces.losses.families.regions import Dice, Jaccard
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import Phase, Until
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop import prefix
from lossweep.trainers.loop.prefix import TrainedEpoch, context_key, identity, retrace
from lossweep.trainers.plan import MeasureSpec


def test_a_users_own_metrics_count_where_there_are_some(
    plan_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any, a checkpoint is found by what it was found by before there could be any."""
    hashed: list[dict[str, Any]] = []

    def key_of(content: dict[str, Any]) -> str:
        hashed.append(content)
        return json.dumps(content, sort_keys=True, default=str)

    monkeypatch.setattr(prefix, "key_of", key_of)
    prefix.context_key(plan_of("jaccard @1e-3 x2", 2))
    prefix.context_key(plan_of("jaccard @1e-3 x2", 2, measure=MeasureSpec(own=("my_metrics:f1",))))
    without, with_own = (content["measure"] for content in hashed)
    assert "own" not in without
    assert with_own == {**without, "own": ["my_metrics:f1"]}


PHASE = Phase(loss=Jaccard(), learning_rate=1e-3, epochs=4)
"""A phase of which every field is changed in turn."""
OTHERWISE: dict[str, Any] = {
    "loss": Dice(),
    "learning_rate": 2e-3,
    "shape": "cosine",
    "warmup_steps": 1,
    "keep_moments": False,
}


def test_all_of_a_phase_but_its_length_decides_how_it_trains() -> None:
    assert OTHERWISE.keys() | {"epochs", "until"} == Phase.model_fields.keys(), "a new field: which is it?"
    found = {identity(PHASE.model_copy(update={name: value})) for name, value in OTHERWISE.items()}
    assert len(found | {identity(PHASE)}) == len(OTHERWISE) + 1
    until = Until(metric="recall", at_least=0.5, epochs=(1, 4))
    for shape in ("constant", "cosine", "drop"):
        phase = PHASE.model_copy(update={"shape": shape})
        longer = phase.model_copy(update={"epochs": 5})
        waiting = phase.model_copy(update={"epochs": None, "until": until})
        assert identity(waiting) == identity(phase), "4 epochs at most, both"
        assert (identity(longer) == identity(phase)) is (shape == "constant"), "what it falls along is longer"


def changed(value: Any) -> Any:
    """Another value than this one: no valid one perhaps, but only its key is asked for."""
    if isinstance(value, dict):
        return {**value, "more": 1}
    if isinstance(value, str | tuple):
        return value + type(value)("-")
    return (value or 0) + 1 if not isinstance(value, bool) else not value


def varied(spec: BaseModel) -> Iterator[tuple[str, BaseModel]]:
    """The same spec with each of its fields, at any depth, at another value; and the field's name."""
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        inner = varied(value) if isinstance(value, BaseModel) else [(name, changed(value))]
        for path, other in inner:
            yield path, spec.model_copy(update={name: other})


FINGERPRINTED = ("train", "val", "test", "seed", "source")
"""What says which images there are: the fingerprint of the decoded data stands for it."""

REPLAYED = ("graphs",)
"""What replays the kernels that would have been launched anyhow."""


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(("part", "fields"), [("data", 14), ("model", 4), ("training", 13), ("measure", 7)])
def test_all_that_a_training_follows_from_is_in_its_key(part: str, fields: int, plan_of: Any) -> None:
    plan = plan_of("jaccard @1e-3 x2", 2)
    keys = {context_key(plan)}
    others = list(varied(getattr(plan, part)))
    assert len(others) >= fields, "as many as there were when this test was written"
    for name, spec in others:
        key = context_key(replace(plan, **{part: spec}))
        left_out = {"data": FINGERPRINTED, "training": REPLAYED}.get(part, ())
        assert (key in keys) is (name in left_out), name
        keys.add(key)


@pytest.mark.parametrize("name", [*GuardSpec.model_fields, "mine:Guard"])
def test_the_guards_that_watch_are_in_the_key(name: str, plan_of: Any) -> None:
    """They stand in checkpoints with what they remember."""
    plan = plan_of("jaccard @1e-3 x2", 2)
    thresholds = getattr(GuardSpec(), name, None)
    off = None if thresholds else {}
    guards = [GuardSpec.model_validate({name: off})]
    guards += [GuardSpec(**{name: other}) for _, other in (varied(thresholds) if thresholds else ())]
    keys = {context_key(replace(plan, guards=spec)) for spec in guards}
    assert len(keys | {context_key(plan)}) == len(guards) + 1


def test_neither_number_nor_budget_nor_schedule_is_in_the_key_of_a_training(plan_of: Any) -> None:
    plan = plan_of("jaccard @1e-3 x2", 2)
    assert context_key(plan_of("dice @1e-2 x9", 9, number=5)) == context_key(plan)
    assert (
        context_key(replace(plan, seed=8)) != context_key(plan) != context_key(replace(plan, micro_batch=1))
    )
    assert context_key(plan, "cuda") != context_key(plan, "cpu")


@pytest.mark.parametrize("mine", ["", " fresh"])
def test_a_checkpoint_after_another_switch_is_not_gone_on_from(mine: str, plan_of: Any) -> None:
    begins = "dice @1e-3 x1 -> jaccard @1e-3 x2"
    plan, other = plan_of(begins + mine, 3), plan_of(begins + (" fresh" if not mine else ""), 3)

    def trained(upto: int) -> list[TrainedEpoch]:
        cursor, past = ScheduleCursor.start(other.schedule), []
        for _ in range(upto):
            figures = Evaluation(0, cursor.epoch, 3, cursor.phase, 0, "", 1e-3, metrics={})
            past.append(TrainedEpoch(identity(cursor.current), cursor.epochs_in_phase, figures, 0))
            cursor = cursor.advance()
        return past

    assert [retrace(plan, trained(epochs)) is not None for epochs in (1, 2, 3)] == [True, False, False]
    assert [retrace(other, trained(epochs)) is not None for epochs in (1, 2, 3)] == [True] * 3
