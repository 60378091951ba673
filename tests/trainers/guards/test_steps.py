"""Rules that see steps: a table of value sequences, and the step at which each stops."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import GuardVerdict
from lossweep.trainers.guards import Guards, build_guards
from lossweep.trainers.guards.rules.loss_spike import LossSpikeSpec
from lossweep.trainers.guards.rules.non_finite import NonFiniteSpec
from lossweep.trainers.guards.rules.stuck_loss import StuckLossSpec
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.losses import build_loss

PRIOR = ClassPrior(names=("ground", "car"), frequencies=(0.99, 0.01))
NAN, INF = math.nan, math.inf
OFF = GuardSpec(
    rejected=None,
    non_finite=None,
    all_foreground=None,
    all_background=None,
    ap_collapse=None,
    loss_spike=None,
    stuck_loss=None,
)


BOTH_TWICE = {"patience": 2, "skipped_patience": 2}


def guards(spec: GuardSpec) -> Guards:
    built = build_guards(spec, PRIOR)
    built.phase_started(0)
    return built


def first(
    watch: Guards, steps: Sequence[tuple[float, float]], skipped: Sequence[int] = (), after: int = 0
) -> GuardVerdict | None:
    """Show (loss, gradient norm) pairs and return the first verdict; steps count from ``after`` + 1."""
    for number, (loss, norm) in enumerate(steps, after + 1):
        verdict = watch.on_step(number, loss, norm, skipped=number in skipped)
        if verdict is not None:
            return verdict
    return None


def wave(length: int, level: float = 1.0, swing: float = 0.1) -> list[tuple[float, float]]:
    """A noisy but healthy loss."""
    return [(level * (1 + swing * math.sin(7.3 * i)), 1.0) for i in range(length)]


@pytest.mark.parametrize(
    ("steps", "skipped", "spec", "stops_at"),
    [
        pytest.param([(1, 1), (NAN, 1)], (), {}, 2, id="loss NaN"),
        pytest.param([(1, 1), (INF, 1)], (), {}, 2, id="loss infinite"),
        pytest.param(
            [(1, 1), (0.9, NAN)], (), {}, 2, id="finite loss with a NaN gradient, as focal at gamma .5"
        ),
        pytest.param([(1, 1), (0.9, INF)], (), {}, 2, id="finite loss with an infinite gradient"),
        pytest.param([(1, 1e30)] * 5, (), {}, None, id="large is not infinite"),
        pytest.param([(1, INF)] * 16 + [(1, 1)], range(17), {}, None, id="float16 looks for its scale"),
        pytest.param([(1, INF)] * 30, range(31), {}, 20, id="float16 never finds it"),
        pytest.param([(1, INF), (1, 1)] * 50, range(1, 100, 2), {}, None, id="now and then a skip"),
        pytest.param([(1, INF)] * 3, range(4), {"skipped_patience": 2}, 2, id="less patience with skips"),
        pytest.param([(NAN, 1)] * 3, (), {"patience": 3}, 3, id="more patience"),
        pytest.param([(NAN, 1), (1, 1)] * 9, (), {"patience": 2}, None, id="never twice in a row"),
        pytest.param([(NAN, 1)] * 5, (), {"warm_up": 3}, 4, id="after the warm-up"),
        pytest.param([(NAN, 1)] * 5, (), {"warm_up": 3, "patience": 2}, 5, id="the warm-up is no streak"),
        pytest.param([(NAN, 1)] * 6, (2, 4, 6), {"patience": 2}, None, id="skips part a streak"),
        pytest.param(
            [(NAN, 1)] * 6, (1, 3, 5), {"patience": 2, "skipped_patience": 2}, None, id="and are parted"
        ),
        pytest.param(
            [(NAN, 1)] * 5, range(6), {"patience": 5, "skipped_patience": 3}, 3, id="skips have their own"
        ),
    ],
)
def test_non_finite(steps, skipped, spec, stops_at) -> None:  # type: ignore[no-untyped-def]
    watch = guards(OFF.model_copy(update={"non_finite": NonFiniteSpec(**spec)}))
    verdict = first(watch, steps, skipped)
    assert (verdict and verdict.step) == stops_at
    assert verdict is None or verdict.rule == "non_finite"


def test_what_was_not_finite_is_told() -> None:
    told = []
    for loss, norm, skipped in ((NAN, 1.0, ()), (0.5, INF, ()), (0.5, INF, range(9))):
        watch = guards(OFF.model_copy(update={"non_finite": NonFiniteSpec(patience=2, skipped_patience=3)}))
        verdict = first(watch, [(loss, norm)] * 9, skipped)
        assert verdict is not None
        told.append((verdict.message, verdict.figures["steps"]))
    assert told == [
        ("the loss is not finite: loss nan, gradient norm 1, in 2 step(s) in a row", 2.0),
        ("the gradient is not finite: loss 0.5, gradient norm inf, in 2 step(s) in a row", 2.0),
        (
            "the gradient is not finite: loss 0.5, gradient norm inf, in 3 step(s) in a row "
            "although the loss scaler skipped them",
            3.0,
        ),
    ]


def above(value: float) -> float:
    """The next number up."""
    return math.nextafter(value, INF)


def under(value: float) -> float:
    """The next number down."""
    return math.nextafter(value, -INF)


SPREAD = [(-1.0, 1.0), (0.0, 1.0), (1.0, 1.0)] * 5
"""Losses with median 0 and MAD 1."""
LEVEL = [(2.0, 1.0)] * 15
"""Losses with median 2 and MAD 0."""
HIGH = [(9.0, 1.0)] * 3
SUDDEN = {"warm_up": 15, "patience": 1}


@pytest.mark.parametrize(
    ("steps", "spec", "stops_at"),
    [
        pytest.param([*SPREAD, (1.4826 * 4, 1.0)], {**SUDDEN, "z": 4.0}, None, id="at z"),
        pytest.param([*SPREAD, (above(1.4826 * 4), 1.0)], {**SUDDEN, "z": 4.0}, 16, id="above z"),
        pytest.param([*LEVEL, (3.0, 1.0)], {**SUDDEN, "rise": 0.5}, None, id="at the rise"),
        pytest.param([*LEVEL, (above(3.0), 1.0)], {**SUDDEN, "rise": 0.5}, 16, id="above the rise"),
        # The last step of the warm-up does not count, the first after it does; and likewise of the streak.
        pytest.param([*LEVEL, (9.0, 1.0)], {**SUDDEN, "warm_up": 16}, None, id="at the warm-up"),
        pytest.param([*LEVEL, (2.0, 1.0), (9.0, 1.0)], {**SUDDEN, "warm_up": 16}, 17, id="after the warm-up"),
        pytest.param(
            [*LEVEL, *[(9.0, 1.0)] * 2, (2.0, 1.0)], {**SUDDEN, "patience": 3}, None, id="less than patience"
        ),
        pytest.param([*LEVEL, *[(9.0, 1.0)] * 3], {**SUDDEN, "patience": 3}, 18, id="as much as patience"),
        # The window is the last so many: the first of 16 losses is not in one of 15.
        pytest.param(
            [(9.0, 1.0)] * 8 + LEVEL[:7] + [(9.0, 1.0)], {**SUDDEN, "window": 15}, None, id="as usual of late"
        ),
        pytest.param(
            [(9.0, 1.0)] * 8 + LEVEL[:8] + [(9.0, 1.0)], {**SUDDEN, "window": 15}, 17, id="usual long ago"
        ),
        # A window shorter than the warm-up: the warm-up lasts as long as it says, all the same.
        pytest.param([*LEVEL[:14], (9.0, 1.0)], {**SUDDEN, "window": 5}, None, id="warm-up, short window"),
        pytest.param([*LEVEL, (9.0, 1.0)], {**SUDDEN, "window": 5}, 16, id="after it, short window"),
        # Losses that aren't finite fill no window.
        pytest.param([(NAN, 1.0)] * 15 + [(9.0, 1.0)], SUDDEN, None, id="nothing to compare with"),
        pytest.param([(NAN, 1.0)] * 15 + [*LEVEL, (9.0, 1.0)], SUDDEN, 31, id="enough to compare with"),
    ],
)
def test_loss_spike_at_its_limits(steps, spec, stops_at) -> None:  # type: ignore[no-untyped-def]
    watch = guards(OFF.model_copy(update={"loss_spike": LossSpikeSpec(**spec)}))
    verdict = first(watch, steps)
    assert (verdict and verdict.step) == stops_at


def test_a_spike_is_told_with_its_figures() -> None:
    watch = guards(OFF.model_copy(update={"loss_spike": LossSpikeSpec(warm_up=15, patience=2)}))
    verdict = first(watch, [*SPREAD, (14.826, 1.0), (14.826, 1.0)])
    assert verdict is not None
    assert verdict.figures == {"loss": 14.826, "median": 0.0, "z": pytest.approx(10.0), "steps": 2.0}
    assert verdict.message == (
        "the loss jumped from 0 to 14.83 within the phase (robust z 10) and stayed for 2 steps"
    )
    flat = first(guards(OFF.model_copy(update={"loss_spike": LossSpikeSpec(**SUDDEN)})), [*LEVEL, (4.0, 1.0)])
    assert flat is not None
    assert flat.figures["z"] == pytest.approx(2e12), "no spread: as if it were one in a million millions"


@pytest.mark.parametrize(
    ("steps", "spec", "stops_at"),
    [
        pytest.param(wave(400), {}, None, id="healthy"),
        pytest.param(wave(100) + wave(50, level=5), {}, 120, id="jumps and stays"),
        pytest.param(wave(100) + wave(19, level=5) + wave(100), {}, None, id="comes back in time"),
        pytest.param([*wave(20), (50.0, 1.0)] * 10, {}, None, id="single outliers"),
        pytest.param(wave(10) + wave(90, level=5), {}, None, id="within the warm-up"),
        pytest.param([(1.0, 1.0)] * 50 + [(1.4, 1.0)] * 60, {}, None, id="no spread, small rise"),
        pytest.param([(1.0, 1.0)] * 50 + [(1.6, 1.0)] * 60, {}, 70, id="no spread, large rise"),
        pytest.param([(1 + 0.02 * i, 1.0) for i in range(300)], {}, None, id="a slow rise is no spike"),
        pytest.param(wave(100, swing=0.9) + wave(60, level=2), {}, None, id="within a noisy range"),
        pytest.param([(0.0, 0.0)] * 100 + [(0.5, 1.0)] * 30, {}, 120, id="from zero"),
        pytest.param([(-1.0, 1.0)] * 50 + [(0.2, 1.0)] * 30, {}, 70, id="a negative loss"),
        pytest.param(wave(100) + [(NAN, 1.0)] * 30, {}, None, id="NaN is another rule's business"),
        pytest.param(wave(100) + wave(9, level=5), {"patience": 3}, 103, id="less patience"),
    ],
)
def test_loss_spike(steps, spec, stops_at) -> None:  # type: ignore[no-untyped-def]
    watch = guards(OFF.model_copy(update={"loss_spike": LossSpikeSpec(**spec)}))
    verdict = first(watch, steps)
    assert (verdict and verdict.step) == stops_at
    assert verdict is None or verdict.rule == "loss_spike"


def test_a_switch_of_phase_is_no_spike() -> None:
    """From weighted CE at 0.05 to Jaccard at 0.9."""
    watch = guards(GuardSpec())
    assert first(watch, wave(200, level=0.05)) is None
    watch.phase_started(1)
    assert first(watch, wave(200, level=0.9), after=200) is None


def test_without_the_switch_it_would_be_one() -> None:
    assert first(guards(GuardSpec()), wave(200, level=0.05) + wave(200, level=0.9)) is not None


def test_a_spike_is_sought_in_the_loss_on_one_scale() -> None:
    """What a ramp does to the loss is no spike, and does not hide one."""
    levels = [1.0] * 100 + [5.0] * 50
    for losses, comparable, expected in ((levels, [1.0] * 150, None), ([1.0] * 150, levels, 120)):
        watch = guards(GuardSpec())
        told = [
            watch.on_step(step, loss, 1.0, comparable=steady)
            for step, (loss, steady) in enumerate(zip(losses, comparable, strict=True), 1)
        ]
        verdicts = [verdict for verdict in told if verdict]
        assert (verdicts[0].step if verdicts else None) == expected


@pytest.mark.parametrize(
    "line",
    [
        "focal(gamma=5..0)",
        "focal(gamma=5..0) + 0.01..100*dice",
        "weighted_ce(power=2..0)",
        "0..1*focal_tversky(gamma=3..0.1) + 1..0*jaccard",
    ],
)
def test_no_ramp_alone_makes_a_guard_fire(line: str) -> None:
    """A model that does not change, watched from batch to batch while its loss ramps over a hundred steps."""
    criterion = build_loss(LossSchedule.parse(f"{line} @1e-3 x1").phases[0].loss, PRIOR)
    random, steps = torch.Generator().manual_seed(0), 100
    ramped = criterion.along([step / steps for step in range(steps)])
    watch, plain, seen = guards(GuardSpec()), guards(GuardSpec()), []
    for step in range(steps):
        ramped.set(step)
        target = (torch.rand(4, 16, 16, generator=random) < 0.05).long()
        logits = 8.0 * target[:, None] - 4.0 + 0.3 * torch.randn(4, 1, 16, 16, generator=random)
        measured = criterion.measured(logits, target)
        loss = float(sum(measured.parts.values()))
        assert measured.comparable is not None
        assert watch.on_step(step + 1, loss, 1.0, comparable=float(measured.comparable)) is None
        seen.append(plain.on_step(step + 1, loss, 1.0))
    if line == "focal(gamma=5..0)":
        assert any(seen), "without it, the ramp would have been taken for a spike"


@pytest.mark.parametrize(
    ("steps", "spec", "stops_at"),
    [
        pytest.param([(0.9995, 1e-9)] * 60, {}, 30, id="stuck from the start"),
        pytest.param([(0.8, 0.1)] * 100 + [(1.0, 0.0)] * 60, {}, 120, id="gets stuck"),
        pytest.param([(0.9995, 1e-3)] * 200, {}, None, id="at the ceiling with a gradient"),
        pytest.param([(0.9985, 1e-9)] * 200, {}, None, id="no gradient under the ceiling"),
        pytest.param(([(1.0, 0.0)] * 19 + [(0.9, 0.1)]) * 9, {}, None, id="some empty batches"),
        pytest.param([(1.0, 0.0)] * 60, {"patience": 3, "warm_up": 0}, 3, id="less patience"),
        pytest.param([(0.96, 1e-6)] * 60, {"level": 0.95, "gradient_norm": 1e-5}, 30, id="other limits"),
        pytest.param([(0.999, 0.0)] * 30, {}, 30, id="at the level, patience after the warm-up"),
        pytest.param([(0.999, 0.0)] * 29, {}, None, id="one step less"),
        pytest.param([(under(0.999), 0.0)] * 60, {}, None, id="under the level"),
        pytest.param([(1.0, 1e-6)] * 60, {}, None, id="at the gradient's limit"),
        pytest.param([(1.0, under(1e-6))] * 60, {}, 30, id="under it"),
        pytest.param([(1.0, 0.0)] * 3, {"patience": 1, "warm_up": 2}, 3, id="the first after the warm-up"),
        pytest.param([(1.0, 0.0)] * 2, {"patience": 1, "warm_up": 2}, None, id="the last of the warm-up"),
    ],
)
def test_stuck_loss(steps, spec, stops_at) -> None:  # type: ignore[no-untyped-def]
    watch = guards(OFF.model_copy(update={"stuck_loss": StuckLossSpec(**spec)}))
    verdict = first(watch, steps)
    assert (verdict and verdict.step) == stops_at
    assert verdict is None or verdict.rule == "stuck_loss"


def test_being_stuck_is_told_with_its_figures() -> None:
    watch = guards(OFF.model_copy(update={"stuck_loss": StuckLossSpec(patience=3, warm_up=0)}))
    verdict = first(watch, [(0.9995, 5e-7)] * 3)
    assert verdict is not None
    assert verdict.message == "the loss is stuck at 0.9995 with gradient norm 5e-07 for 3 steps"
    assert verdict.figures == {"loss": 0.9995, "gradient_norm": 5e-7, "steps": 3.0}


def test_a_new_phase_gets_its_own_chance_to_leave_the_ceiling() -> None:
    watch = guards(OFF.model_copy(update={"stuck_loss": StuckLossSpec()}))
    assert first(watch, [(1.0, 0.0)] * 29) is None
    watch.phase_started(1)
    verdict = first(watch, [(1.0, 0.0)] * 60, after=29)
    assert verdict is not None
    assert (verdict.step, verdict.phase) == (59, 1)


def test_a_verdict_names_rule_step_phase_and_figures() -> None:
    watch = guards(GuardSpec())
    watch.phase_started(3)
    verdict = first(watch, [(0.5, NAN)], after=41)
    assert verdict is not None
    assert (verdict.rule, verdict.step, verdict.phase) == ("non_finite", 42, 3)
    assert "gradient is not finite" in verdict.message
    assert verdict.figures["loss"] == 0.5
    assert math.isnan(verdict.figures["gradient_norm"])


def test_all_rules_off_see_nothing() -> None:
    assert first(guards(OFF), [(NAN, NAN)] * 50) is None


@settings(max_examples=40)
@given(
    st.floats(1e-3, 50), st.floats(0, 0.9), st.floats(1e-3, 0.2), st.integers(40, 300), st.integers(0, 2**20)
)
def test_no_rule_stops_a_smoothly_falling_loss(
    start: float, floor: float, rate: float, length: int, seed: int
) -> None:
    watch = guards(GuardSpec())
    steps = []
    for i in range(length):
        noise = 1 + 0.05 * math.sin(12.9898 * i + seed)
        steps.append((start * (floor + (1 - floor) * math.exp(-rate * i)) * noise, 0.1))
    assert first(watch, steps) is None
