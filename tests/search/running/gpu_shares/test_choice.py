"""How many trials share a GPU, from figures alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossweep.search.running.gpu_shares.choice import COUNTS, ENOUGH, Choice, Measured, counts

GIB = 2**30


def choice(*rates: float, short: bool = False) -> Choice:
    measured = tuple(Measured(count, rate, 2 * GIB) for count, rate in zip(COUNTS, rates, strict=False))
    return Choice("NVIDIA H100 (80 GiB)", measured, short)


@pytest.mark.parametrize(
    ("rates", "trials"),
    [
        ((2000.0,), 1),
        ((2000.0, 3900.0, 6100.0, 7800.0), 8),
        ((2000.0, 3900.0, 6100.0, 6200.0), 4),  # eight at once bring nothing more
        ((5000.0, 5200.0, 5300.0, 4000.0), 1),  # one fills it
        ((2000.0, 1500.0, 6000.0), 4),
    ],
)
def test_the_fewest_that_come_near_the_most_are_chosen(rates: tuple[float, ...], trials: int) -> None:
    assert choice(*rates).trials == trials
    assert choice(*rates).share == 1 / trials


@given(st.lists(st.floats(1.0, 1e5), min_size=1, max_size=4))
def test_little_is_ever_given_away(rates: list[float]) -> None:
    found = choice(*rates)
    at = next(each for each in found.measured if each.trials == found.trials)
    assert at.images_per_second >= ENOUGH * max(rates)
    assert all(
        each.images_per_second < ENOUGH * max(rates) for each in found.measured if each.trials < found.trials
    )


def test_the_figures_are_printed() -> None:
    line = str(choice(2104.0, 3900.0, short=True))
    assert line == (
        "Side by side on NVIDIA H100 (80 GiB), trials train so many images a second in all: "
        "1 2,104 (2.0 GiB each), 2 3,900 (2.0 GiB each); 4 find no memory. "
        "So 2 trials at a time on each GPU; resources.gpus_per_trial says otherwise."
    )
    assert "So a trial at a time on each GPU" in str(choice(2104.0))


@pytest.mark.parametrize(
    ("machine", "tried"),
    [
        ({"cores": 16, "cpus": 1.0, "gpus": 1, "parallel": None, "trials": 64}, (1, 2, 4, 8)),
        ({"cores": 16, "cpus": 1.0, "gpus": 4, "parallel": None, "trials": 64}, (1, 2, 4)),
        ({"cores": 16, "cpus": 4.0, "gpus": 1, "parallel": None, "trials": 64}, (1, 2, 4)),
        ({"cores": 16, "cpus": 1.0, "gpus": 1, "parallel": 2, "trials": 64}, (1, 2)),
        ({"cores": 16, "cpus": 1.0, "gpus": 2, "parallel": 3, "trials": 64}, (1, 2)),
        ({"cores": 16, "cpus": 1.0, "gpus": 1, "parallel": None, "trials": 3}, (1, 2)),
        ({"cores": 1, "cpus": 1.0, "gpus": 1, "parallel": None, "trials": 64}, (1,)),
        ({"cores": 1, "cpus": 2.0, "gpus": 1, "parallel": None, "trials": 64}, (1,)),
        ({"cores": 4, "cpus": 1.0, "gpus": 8, "parallel": None, "trials": 64}, (1,)),
    ],
)
def test_no_more_are_tried_than_cores_and_trials_allow(machine: dict, tried: tuple[int, ...]) -> None:
    assert counts(**machine) == tried
