"""What checkpoints are found by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from lossweep.spaces.losses.families.regions import Dice, Jaccard, Tversky
from lossweep.spaces.losses.ramp import Ramp, settled
from lossweep.spaces.losses.terms import Loss
from lossweep.spaces.schedules.common_prefix import identity
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import LossSchedule, Phase, Until
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop import prefix
from lossweep.trainers.loop.prefix import TrainedEpoch, context_key, retrace
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


RAMPED = Phase(loss=Tversky(alpha=Ramp(0.3, 0.7)), learning_rate=1e-3, epochs=4)


def test_a_ramp_depends_on_the_length_of_its_phase() -> None:
    longer = RAMPED.model_copy(update={"epochs": 5})
    waiting = Until(metric="recall", at_least=0.5, epochs=(1, 4))
    assert identity(longer) != identity(RAMPED)
    assert identity(RAMPED.model_copy(update={"epochs": None, "until": waiting})) == identity(RAMPED)
    other = RAMPED.model_copy(update={"loss": Tversky(alpha=Ramp(0.3, 0.7, "cosine"))})
    assert identity(other) != identity(RAMPED)
    level = RAMPED.model_copy(update={"loss": Tversky()})
    assert identity(level) == identity(level.model_copy(update={"epochs": 5}))
    assert "most_epochs" not in identity(level), "found by what it was found by before there were ramps"


LOSSES = (
    "jaccard",
    "jaccard + 0.5*dice",
    "jaccard + 0.1..0.5*dice",
    "jaccard + cosine(0.1..0.5)*dice",
    "focal(gamma=0..2)",
    "weighted_ce(power=0..1)",
)
LENGTHS = ("x1", "x2", "x3", "until recall>=0.5 in 1..2", "until recall>=0.5 in 1..3 back <0.3")


@st.composite
def lines(draw: st.DrawFn) -> str:
    phase = st.builds("{} @1e-3 {} {}".format, *map(st.sampled_from, (LOSSES, LENGTHS, ("", "cosine"))))
    return " -> ".join(draw(st.lists(phase, min_size=1, max_size=2))) + f" | {draw(st.integers(1, 2))} cycles"


STEPS = 3


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_is_shared_was_trained_alike_step_by_step(plan_of: Any, data: st.DataObject) -> None:
    """A checkpoint is gone on from only if each of its steps had this plan's loss, ramps and rate."""
    first = data.draw(lines())
    second = data.draw(
        st.sampled_from([first, first.replace("x2", "x3"), first.replace("1..2", "1..3")]) | lines()
    )
    recalls = data.draw(st.lists(st.floats(0.2, 0.6), min_size=6, max_size=6))
    trained = _steps(first, recalls, len(recalls))
    own = _steps(second, recalls, len(recalls))
    past = [
        TrainedEpoch(identity(cursor.current), cursor.epochs_in_phase, _evaluated(recall), 0)
        for (cursor, _), recall in zip(trained, recalls, strict=True)
    ]
    for count in range(1, len(recalls) + 1):
        shared = retrace(plan_of(second, 7), past[:count]) is not None
        alike = [steps for _, steps in trained[:count]] == [steps for _, steps in own[:count]]
        assert alike or not shared, f"{first} and {second} share {count} epochs that they train otherwise"


def _evaluated(recall: float) -> Evaluation:
    return Evaluation(0, 0, 7, 0, 0, "", 1e-3, metrics={"recall": recall})


def _steps(
    line: str, recalls: list[float], epochs: int
) -> list[tuple[ScheduleCursor, list[tuple[Loss, float]]]]:
    """Each epoch's position, and the loss with its numbers and the rate at each of its steps."""
    cursor, found = ScheduleCursor.start(LossSchedule.parse(line), 7), []
    for recall in recalls[:epochs]:
        loss, first = cursor.current.loss, cursor.epochs_in_phase * STEPS
        shares = cursor.progress_of_epoch(STEPS)
        rates = [cursor.learning_rate(first + step, STEPS) for step in range(STEPS)]
        found.append(
            (cursor, [(settled(loss, share), rate) for share, rate in zip(shares, rates, strict=True)])
        )
        cursor = cursor.advance({"recall": recall})
    return found


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


def test_what_rejects_a_trial_before_training_is_not_in_the_key(plan_of: Any) -> None:
    plan = plan_of("jaccard @1e-3 x2", 2)
    assert context_key(replace(plan, guards=GuardSpec(rejected=None))) == context_key(plan)


@pytest.mark.parametrize("name", [*sorted(GuardSpec.model_fields.keys() - {"rejected"}), "mine:Guard"])
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
