"""What two schedules are said to have in common is what one goes on from of the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossweep.spaces.schedules.common_prefix import common_epochs, evaluates, identity, needs_metrics
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop.prefix import TrainedEpoch, address, possible_addresses, retrace
from lossweep.trainers.plan import TrainingSpec, TrialPlan

BUDGET = 4
RECALLS = (0.2, 0.4, 0.5)
"""Each way past the levels of the schedules below: lost, neither, reached."""
PHASES = (
    "jaccard @1e-3 x1",
    "jaccard @1e-3 x2",
    "jaccard @1e-3 x3",
    "jaccard @1e-3 x2 cosine",
    "jaccard @1e-3 x3 cosine",
    "focal(gamma=0..2) @1e-3 x2",
    "jaccard @1e-3 until recall>=0.5 in 1..3",
    "jaccard @1e-3 until recall>=0.3 in 2..3",
    "jaccard @1e-3 until recall>=0.5 in 1..2 back <0.3",
    "dice @1e-3 x1",
    "dice @1e-3 x2 fresh",
)
LINES = st.builds(
    "{} | {} cycles".format,
    st.lists(st.sampled_from(PHASES), min_size=1, max_size=3).map(" -> ".join),
    st.integers(1, 2),
)


def trained(plan: TrialPlan, recalls: tuple[float, ...]) -> Iterator[TrainedEpoch]:
    """What a training of the plan writes down, epoch by epoch, when it measures these."""
    cursor = ScheduleCursor.start(plan.schedule)
    for recall in recalls:
        figures = Evaluation(0, cursor.epoch, BUDGET, cursor.phase, 0, "", 1e-3, metrics={"recall": recall})
        measured = needs_metrics(cursor)
        after = cursor.advance(figures.metrics if measured else None)
        seen = measured or evaluates(cursor, after, plan.training.evaluate_every)
        yield TrainedEpoch(identity(cursor.current), cursor.epochs_in_phase, figures if seen else None, 0)
        cursor = after


def gone_on_from(mine: TrialPlan, past: list[TrainedEpoch]) -> int:
    """The epochs of the newest checkpoint that this plan goes on from."""
    kept = (n for n in range(len(past), 0, -1) if past[n - 1].evaluation)
    return next((n for n in kept if retrace(mine, past[:n])), 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=LINES, second=LINES, every=st.sampled_from((1, 1, 2)))
def test_common_is_what_is_retraced_whatever_is_measured(
    plan_of: Any, first: str, second: str, every: int
) -> None:
    training = TrainingSpec(evaluate_every=every)
    mine, other = (plan_of(line, BUDGET, training=training) for line in (first, second))
    found = {gone_on_from(mine, list(trained(other, recalls))) for recalls in product(RECALLS, repeat=BUDGET)}
    common = common_epochs(
        LossSchedule.parse(first).with_budget(BUDGET), LossSchedule.parse(second).with_budget(BUDGET), every
    )
    assert common == min(found)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=LINES, other=LINES, every=st.sampled_from((1, 1, 2)), data=st.data())
def test_whatever_is_gone_on_from_is_among_the_possible_addresses(
    plan_of: Any, line: str, other: str, every: int, data: st.DataObject
) -> None:
    training = TrainingSpec(evaluate_every=every)
    mine, theirs = (plan_of(each, BUDGET, training=training) for each in (line, other))
    possible = possible_addresses(mine)
    assert possible is not None
    recalls = data.draw(st.tuples(*[st.sampled_from(RECALLS)] * BUDGET))
    for past in (list(trained(mine, recalls)), list(trained(theirs, recalls))):
        for count in range(1, BUDGET + 1):
            if past[count - 1].evaluation and retrace(mine, past[:count]):
                assert address(past[:count]) in possible


def test_too_many_ways_are_not_followed(plan_of: Any) -> None:
    waits = "dice @1e-3 until recall>=0.5 in 1..20 back <0.3 -> jaccard @1e-3 until recall>=0.6 in 1..20"
    assert possible_addresses(plan_of(f"{waits} | 9 cycles", 99)) is None
