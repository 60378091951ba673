"""The way through a schedule, epoch by epoch."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.cursor import COSINE_FLOOR, ScheduleCursor
from lossweep.spaces.schedules.schedule import LossSchedule


def walk(line: str, epochs: int, recalls: list[float | None] | None = None) -> str:
    """The phases trained, a letter an epoch; | where a phase ends, ! where a cycle does, < on going back."""
    cursor = ScheduleCursor.start(LossSchedule.parse(line), epochs)
    way = ""
    while not cursor.finished:
        way += "abcdefgh"[cursor.phase]
        recall = recalls[cursor.epoch] if recalls else None
        cursor = cursor.advance(None if recall is None else {"recall": recall})
        way += "<" * cursor.went_back + "|" * cursor.phase_ended + "!" * cursor.cycle_ended
    assert cursor.epoch == epochs
    return way


A_UNTIL = "dice @1 until recall>=0.9 in 2..4"


@pytest.mark.parametrize(
    ("line", "epochs", "recalls", "way"),
    [
        ("dice @1 x3", 3, None, "aaa|!"),
        # A schedule that ends earlier goes on in its last phase, a longer one is cut.
        ("dice @1 x2", 4, None, "aa!aa|!"),
        ("dice @1 x9", 4, None, "aaaa|!"),
        ("dice @1 x1 -> jaccard @1 x2", 5, None, "a|bb!bb|!"),
        ("dice @1 x1 -> jaccard @1 x2 | 2 cycles", 7, None, "a|bb|!c|dd!d|!"),
        ("dice @1 x1 -> jaccard @1 x2 | 2 cycles", 4, None, "a|bb|!c|!"),
        # Until: not before the least, at the latest after the most, and only where there is an evaluation.
        (f"{A_UNTIL} -> jaccard @1 x1", 6, [0.95] * 6, "aa|b!bbb|!"),
        (f"{A_UNTIL} -> jaccard @1 x1", 6, [0.1] * 6, "aaaa|b!b|!"),
        (f"{A_UNTIL} -> jaccard @1 x1", 6, [0.1, 0.1, 0.9, 0.1, 0.1, 0.1], "aaa|b!bb|!"),
        (f"{A_UNTIL} -> jaccard @1 x1", 6, [None, None, 0.95, None, None, None], "aaa|b!bb|!"),
        (f"{A_UNTIL} -> jaccard @1 x1", 6, None, "aaaa|b!b|!"),
        (f"{A_UNTIL} -> jaccard @1 x1 | 2 cycles", 6, [0.95] * 6, "aa|b|!cc|d|!"),
        # The last phase's own until ends its cycle once, and it goes on.
        (f"jaccard @1 x1 -> {A_UNTIL}", 6, [0.95] * 6, "a|bb!bbb|!"),
        # Back with hysteresis: nothing happens from 0.8 up; then the first phase has its least epochs again.
        (f"{A_UNTIL} back <0.8 -> jaccard @1 x9", 6, [0.95, 0.95, 0.8, 0.85, 0.8, 0.9], "aa|bbbb|!"),
        (
            f"{A_UNTIL} back <0.8 -> jaccard @1 x9",
            7,
            [0.95, 0.95, 0.79, 0.95, 0.95, 0.9, 0.9],
            "aa|b<|aa|bb|!",
        ),
        # Going back wins over the phase's own end, also from the last phase that goes on.
        (
            f"{A_UNTIL} back <0.8 -> jaccard @1 x1 -> mcc @1 x1",
            5,
            [0.95, 0.95, 0.1, 0.95, 0.95],
            "aa|b<|aa|!",
        ),
        (
            f"{A_UNTIL} back <0.8 -> jaccard @1 x1",
            7,
            [0.95, 0.95, 0.9, 0.1, 0.95, 0.95, 0.9],
            "aa|b!b<|aa|b|!",
        ),
        # Only the phase right after looks back.
        (f"{A_UNTIL} back <0.8 -> jaccard @1 x1 -> mcc @1 x1", 5, [0.95, 0.95, 0.9, 0.1, 0.1], "aa|b|c!c|!"),
        # The next cycle's first phase looks back at the last phase of the cycle before.
        (
            f"dice @1 x1 -> {A_UNTIL} back <0.8 | 2 cycles",
            6,
            [0.1, 0.9, 0.95, 0.1, 0.95, 0.95],
            "a|bb|!c<|bb|!",
        ),
    ],
)
def test_the_way_through(line: str, epochs: int, recalls: list[float | None] | None, way: str) -> None:
    assert walk(line, epochs, recalls) == way


def test_metrics_that_are_better_when_low() -> None:
    schedule = LossSchedule.parse("dice @1 until count_error<=0.2 in 1..5 back >0.4 -> jaccard @1 x5")
    cursor = ScheduleCursor.start(schedule, 10).advance({"count_error": 0.3})
    assert cursor.phase == 0
    cursor = cursor.advance({"count_error": 0.2})
    assert cursor.phase == 1
    assert cursor.advance({"count_error": 0.4}).phase == 1
    assert cursor.advance({"count_error": 0.41}).phase == 0


def test_a_missing_metric_is_named() -> None:
    cursor = ScheduleCursor.start(LossSchedule.parse(A_UNTIL), 5)
    with pytest.raises(UserError, match="a phase waits for recall"):
        cursor.advance({"f1": 0.5})


def test_budgets() -> None:
    schedule = LossSchedule.parse("dice @1 x2 | 7 epochs")
    assert ScheduleCursor.start(schedule).epochs == 7
    assert ScheduleCursor.start(LossSchedule.parse("dice @1 x2 -> mcc @1 x1 | 2 cycles")).epochs == 6
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        ScheduleCursor.start(schedule, 0)
    cursor = ScheduleCursor.start(schedule, 1).advance()
    with pytest.raises(ValueError, match="the budget of 1 epochs is spent"):
        cursor.advance()


def test_learning_rates() -> None:
    constant = ScheduleCursor.start(LossSchedule.parse("dice @0.5 x2"), 4)
    assert [constant.learning_rate(step, 10) for step in (0, 19, 35)] == [0.5, 0.5, 0.5]
    warm = ScheduleCursor.start(LossSchedule.parse("dice @0.5 x2 warmup 4"), 4)
    assert [warm.learning_rate(step, 10) for step in range(6)] == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    cosine = ScheduleCursor.start(LossSchedule.parse("dice @0.5 x2 cosine warmup 4"), 4)
    assert [cosine.learning_rate(step, 10) for step in (0, 3, 4)] == [0.125, 0.5, 0.5]
    assert math.isclose(cosine.learning_rate(12, 10), 0.5 * (1 + COSINE_FLOOR) / 2)
    # Beyond the phase's length, when it goes on as the last one, it stays at the floor.
    assert math.isclose(cosine.learning_rate(20, 10), 0.5 * COSINE_FLOOR)
    assert math.isclose(cosine.learning_rate(39, 10), 0.5 * COSINE_FLOOR)
    rates = [cosine.learning_rate(step, 10) for step in range(4, 21)]
    assert rates == sorted(rates, reverse=True)
    # A warm-up longer than the phase never gets to the cosine within it.
    long = ScheduleCursor.start(LossSchedule.parse("dice @0.5 x1 cosine warmup 20"), 4)
    assert [long.learning_rate(step, 10) for step in (9, 19)] == [0.25, 0.5]


LINES = (
    "dice @1 x1 -> jaccard @1 x2 | 3 cycles",
    f"{A_UNTIL} back <0.8 -> jaccard @1 x2 cosine | 2 cycles",
    f"{A_UNTIL} back <0.8 -> jaccard @1 until recall>=0.95 in 1..3 back <0.5 -> mcc @1 x1 | 2 cycles",
)


@settings(max_examples=80)
@given(st.sampled_from(LINES), st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=24))
def test_every_epoch_of_the_budget_belongs_to_one_phase(line: str, recalls: list[float | None]) -> None:
    schedule = LossSchedule.parse(line)
    cursor = ScheduleCursor.start(schedule, len(recalls))
    for epoch, recall in enumerate(recalls):
        assert not cursor.finished
        assert cursor.epoch == epoch
        assert cursor.current == schedule.unrolled()[cursor.phase]
        assert cursor.cycle == cursor.phase // len(schedule.phases)
        after = cursor.advance(None if recall is None else {"recall": recall})
        assert after.phase - cursor.phase in (-1, 0, 1)
        assert after.phase_ended == (after.phase != cursor.phase or after.finished)
        assert after.went_back == (after.phase < cursor.phase)
        if not after.finished:
            assert after.epochs_in_phase == (0 if after.phase_ended else cursor.epochs_in_phase + 1)
            assert after.epochs_in_phase < schedule.unrolled()[after.phase].most_epochs or after.exhausted
        assert ScheduleCursor.from_dict(json.loads(json.dumps(after.to_dict()))) == after
        cursor = after
    assert cursor.finished


@settings(max_examples=60)
@given(st.sampled_from(LINES), st.lists(st.floats(0, 1), min_size=20, max_size=20), st.integers(1, 19))
def test_the_budget_changes_nothing_before_its_end(line: str, recalls: list[float], budget: int) -> None:
    schedule = LossSchedule.parse(line)
    long, short = (ScheduleCursor.start(schedule, epochs) for epochs in (20, budget))
    for recall in recalls[: budget - 1]:
        long, short = long.advance({"recall": recall}), short.advance({"recall": recall})
        assert (long.phase, long.epochs_in_phase, long.cycle_ended) == (
            short.phase,
            short.epochs_in_phase,
            short.cycle_ended,
        )


def test_a_position_moves_to_a_schedule_with_the_same_beginning() -> None:
    mine = LossSchedule.parse("dice @1 x1 -> jaccard @1 x2 -> mcc @1 x3")
    other = LossSchedule.parse("dice @1 x1 -> jaccard @1 x2 -> lovasz @1 x3")
    start = ScheduleCursor.start(mine, 6)
    switched = start.advance().advance().advance()
    moved = switched.moved_to(other, 9)
    assert (moved.phase, moved.epochs, moved.current.loss_name) == (2, 9, "lovasz")
    with pytest.raises(ValueError, match="differ within their first 3 phases"):
        switched.advance().moved_to(other, 9)
    with pytest.raises(ValueError, match="or the budget is spent"):
        switched.moved_to(other, 3)


def test_a_drop_goes_on_at_a_tenth_for_the_last_quarter() -> None:
    drop = ScheduleCursor.start(LossSchedule.parse("dice @0.5 x4 drop warmup 2"), 6)
    assert [drop.learning_rate(step, 10) for step in (0, 1, 2, 29)] == [0.25, 0.5, 0.5, 0.5]
    assert [drop.learning_rate(step, 10) for step in (30, 39, 59)] == pytest.approx([0.05] * 3)
    # Of a phase that waits for a metric, the most epochs count.
    waiting = ScheduleCursor.start(LossSchedule.parse("dice @0.5 until recall>=0.9 in 1..4 drop"), 6)
    assert waiting.learning_rate(29, 10) == 0.5
    assert waiting.learning_rate(30, 10) == pytest.approx(0.05)


def shares(line: str, epochs: int, steps: int = 2, recalls: list[float] | None = None) -> list[list[float]]:
    """How much of its phase is over at each step of each epoch: what ramps follow."""
    cursor, found = ScheduleCursor.start(LossSchedule.parse(line), epochs), []
    while not cursor.finished:
        found.append(cursor.progress_of_epoch(steps))
        cursor = cursor.advance({"recall": recalls[cursor.epoch]} if recalls else None)
    return found


def test_a_ramp_takes_its_phase_s_epochs_and_begins_anew_with_each_cycle() -> None:
    assert shares("dice @1 x2 -> jaccard @1 x1 | 2 cycles", 6) == [[0, 0.25], [0.5, 0.75], [0, 0.5]] * 2


def test_a_ramp_is_held_where_the_last_phase_goes_on_and_cut_where_the_budget_ends() -> None:
    assert shares("dice @1 x2", 4) == [[0, 0.25], [0.5, 0.75], [1, 1], [1, 1]]
    assert shares("dice @1 x4", 2) == [[0, 0.125], [0.25, 0.375]]


def test_a_phase_that_waits_ramps_over_the_most_it_may_last_and_anew_when_training_goes_back() -> None:
    line = "dice @1 until recall>=0.9 in 1..2 back <0.5 -> jaccard @1 x2"
    assert shares(line, 5, 1, [0.9, 0.1, 0.6, 0.9, 0.9]) == [[0], [0], [0], [0.5], [0]]


def test_a_warm_up_is_of_the_rate_alone() -> None:
    cursor = ScheduleCursor.start(LossSchedule.parse("dice @1 x2 cosine warmup 2"))
    assert cursor.progress_of_epoch(2) == [0, 0.25]
    assert cursor.learning_rate(2, 2) == 1.0


@given(st.integers(1, 9), st.integers(1, 50), st.integers(0, 60))
def test_progress_rises_from_0_to_1(epochs: int, steps: int, warmup: int) -> None:
    cursor = ScheduleCursor.start(LossSchedule.parse(f"dice @1 x{epochs}"))
    way = [cursor.progress(step, steps) for step in range(epochs * steps + 3)]
    assert way == sorted(way)
    assert (way[0], way[epochs * steps :]) == (0.0, [1.0] * 3)
    after = [cursor.progress(step, steps, warmup) for step in range(warmup, warmup + epochs * steps)]
    assert all(0.0 <= share <= 1.0 for share in after)
