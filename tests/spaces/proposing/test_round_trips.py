"""However a schedule is written down, it comes back as it was: by hypothesis, and 300 from each preset."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.proposing.schedule_space import ScheduleSpace, SpaceSpec
from lossweep.spaces.proposing.space_spec import PRESETS
from lossweep.spaces.schedules.schedule import LossSchedule

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.991, 0.009))

rates = st.floats(1e-9, 10.0, exclude_min=True)
positive = st.floats(1e-6, 1e6)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)


def ramped(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    """A number, or a ramp between two."""
    shape = {"shape": st.sampled_from(["linear", "cosine"])}
    return numbers | st.fixed_dictionaries({"from": numbers, "to": numbers}, optional=shape)


weights = st.one_of(
    st.lists(st.floats(0.001, 1e3), min_size=2, max_size=4).map(tuple),
    st.fixed_dictionaries({"power": ramped(st.floats(0.0, 2.0))}, optional={"cap": st.floats(1.0, 1e6)}),
    st.fixed_dictionaries(
        {"beta": st.floats(0.0, 1.0, exclude_max=True)}, optional={"cap": st.floats(1.0, 1e6)}
    ),
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
reduction = {"smooth": positive, "reduction": st.sampled_from(["batch", "image"])}
sides = {"alpha": ramped(st.floats(0.0, 2.0)), "beta": ramped(st.floats(0.0, 2.0))}


def term(name: str, optional: dict[str, Any], **required: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"term": st.just(name), **required}, optional=optional)


terms = st.one_of(
    term("cross_entropy", {"label_smoothing": st.floats(0.0, 0.5)}),
    term("weighted_ce", {"label_smoothing": st.floats(0.0, 0.5)}, weights=weights),
    term(
        "focal",
        {"gamma": ramped(st.floats(0.0, 5.0)), "alpha": ramped(st.floats(0.01, 0.99)), "weights": weights},
    ),
    term("jaccard", reduction),
    term("dice", reduction),
    term("tversky", {**reduction, **sides}),
    term("focal_tversky", {**reduction, **sides, "gamma": ramped(st.floats(0.1, 3.0))}),
    term("lovasz", {"reduction": st.sampled_from(["batch", "image"])}),
    term("mcc", {"smooth": positive}),
    term("soft_jaccard", {**reduction, "label_smoothing": st.floats(0.0, 0.5)}),
    term("topk_ce", {"share": st.floats(0.01, 1.0), "threshold": st.none() | st.floats(0.01, 0.99)}),
    term(
        "per_object",
        {
            "way": st.sampled_from(["cells", "blobs"]),
            "inverse_size": st.booleans(),
            "reduction": st.sampled_from(["batch", "image"]),
        },
        loss=st.one_of(
            term("jaccard", {"smooth": positive}),
            term("weighted_ce", {}, weights=weights),
            term("focal", {"gamma": ramped(st.floats(0.0, 5.0)), "weights": weights}),
        ),
    ),
    term("my_losses.edges:Boundary", {"parameters": st.dictionaries(texts, values, max_size=3)}),
)
sums = st.lists(
    st.fixed_dictionaries({"loss": terms}, optional={"weight": ramped(positive)}),
    min_size=2,
    max_size=3,
    unique_by=repr,
).map(lambda parts: {"sum": parts})


@st.composite
def phases(draw: st.DrawFn) -> dict[str, Any]:
    phase: dict[str, Any] = {"loss": draw(terms | sums), "learning_rate": draw(rates)}
    if draw(st.booleans()):
        phase["epochs"] = draw(st.integers(1, 99))
    else:
        least = draw(st.integers(1, 9))
        phase["until"] = {
            "metric": draw(
                st.sampled_from(
                    ["recall", "fbeta_0.5", "f1/big >=car", "tuned_iou/x", "recall_at_precision_0.2"]
                )
            ),
            "at_least": draw(st.floats(0.5, 1.0)),
            "epochs": [least, least + draw(st.integers(0, 9))],
            "back_below": draw(st.none() | st.floats(-0.0, 0.49)),
        }
        if draw(st.booleans()):
            phase["until"] |= {
                "metric": "count_error",
                "at_least": 0.25,
                "back_below": draw(st.none() | st.just(0.5)),
            }
    phase["shape"] = draw(st.sampled_from(["constant", "cosine", "drop"]))
    phase["warmup_steps"] = draw(st.integers(0, 3))
    phase["keep_moments"] = draw(st.booleans())
    return phase


def _distinct(schedule: dict[str, Any]) -> bool:
    """Whether no sum holds a term twice, which hypothesis can't see for all ways of writing one."""
    try:
        LossSchedule.model_validate(schedule)
    except ValidationError as error:
        return "stands in the sum twice" not in str(error)
    return True


schedules = st.fixed_dictionaries(
    {"phases": st.lists(phases(), min_size=1, max_size=3)},
    optional={"cycles": st.integers(1, 5), "epochs": st.integers(1, 300)},
).filter(_distinct)


def assert_round_trips(schedule: LossSchedule) -> None:
    for read in (
        LossSchedule.from_yaml(schedule.to_yaml()),
        LossSchedule.from_json(schedule.to_json()),
        LossSchedule.parse(str(schedule)),
        LossSchedule.model_validate(schedule.model_dump()),
        LossSchedule.model_validate_json(schedule.model_dump_json()),
    ):
        assert read == schedule
        assert hash(read) == hash(schedule)
        assert read.key == schedule.key
        # Equality of floats is loose about -0.0; the text is not.
        assert str(read) == str(schedule)


@settings(max_examples=100)
@given(schedules)
@example(
    {
        "phases": [
            {
                "loss": {"term": "a.b:C", "parameters": {"\U00010000": "\x85\u2028"}},
                "learning_rate": 1,
                "epochs": 1,
            }
        ]
    }
)
def test_any_schedule_comes_back_from_every_form(data: dict[str, Any]) -> None:
    schedule = LossSchedule.model_validate(data)
    assert str(schedule).splitlines() == [str(schedule)]
    assert_round_trips(schedule)


@settings(max_examples=60)
@given(schedules, st.integers(1, 4))
def test_writing_cycles_out_changes_nothing(data: dict[str, Any], times: int) -> None:
    schedule = LossSchedule.model_validate(data)
    cycles = data.get("cycles", 1)
    written_out = LossSchedule.model_validate(
        {**data, "phases": data["phases"] * cycles * times, "cycles": 1}
    )
    counted = LossSchedule.model_validate({**data, "cycles": cycles * times})
    assert written_out == counted
    assert (hash(written_out), written_out.key, str(written_out)) == (
        hash(counted),
        counted.key,
        str(counted),
    )
    assert written_out.unrolled() == schedule.unrolled() * times
    for count in range(1, len(schedule.unrolled()) + 1):
        assert written_out.prefix_key(count) == schedule.prefix_key(count) == schedule.prefix(count).key


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_hundreds_of_each_preset_come_back(preset: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = ScheduleSpace(SpaceSpec(preset=preset), epochs=24, prior=PRIOR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    drawn: dict[str, LossSchedule] = {}
    for _ in range(300):
        trial = study.ask()
        schedule = space.suggest(trial)
        parameters = space.parameters_of(schedule)
        again = space.suggest(optuna.trial.FixedTrial(parameters))
        assert again == schedule
        assert again.key == schedule.key
        assert parameters.keys() == trial.params.keys()
        assert LossSchedule.from_yaml(schedule.to_yaml()) == schedule
        assert LossSchedule.from_json(schedule.to_json()) == schedule
        assert LossSchedule.parse(str(schedule)) == schedule
        # Equal schedules share the key, others don't.
        assert drawn.setdefault(schedule.key, schedule) == schedule
        study.tell(trial, 0.0)
    assert len({str(schedule) for schedule in drawn.values()}) == len(drawn)
    assert len(drawn) > 100
