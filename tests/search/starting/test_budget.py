from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossweep.search.starting.budget import Pace, plan

FAST = Pace(images_per_second=200.0, evaluation_s=1.0)


def test_more_hours_buy_longer_trainings_more_trials_and_a_confirmation() -> None:
    found = [plan(hours, FAST, 400, 8, 16, 2, True) for hours in (0.01, 0.1, 1.0, 8.0, 80.0)]
    assert [each.epochs for each in found] == sorted(each.epochs for each in found)
    assert [each.top for each in found] == [0, 0, 1, 1, 3]
    assert found[0].crops == 1
    assert found[-1].crops == 16
    assert found[-1].confirm == {"top": 3, "seeds": 5}


def test_nothing_is_confirmed_without_a_test_split() -> None:
    assert plan(8.0, FAST, 400, 8, 16, 2, False).confirm is None


def test_what_does_not_fit_is_the_least_that_is_a_search_and_says_how_long_it_takes() -> None:
    found = plan(0.01, Pace(1.0, 100.0), 400, 8, 16, 1, True)
    assert (found.trials, found.epochs, found.crops, found.top) == (8, 4, 1, 0)
    assert found.hours == pytest.approx((0.7 * 8 * 4 * 500.0 + 25.0) / 3600.0)


@given(
    st.floats(0.01, 100.0),
    st.floats(0.5, 5000.0),
    st.floats(0.01, 100.0),
    st.integers(2, 5000),
    st.integers(1, 300),
    st.integers(1, 16),
    st.booleans(),
)
def test_what_is_planned_fits_the_hours_or_is_the_least(
    hours: float, rate: float, evaluation_s: float, images: int, covering: int, slots: int, testable: bool
) -> None:
    found = plan(hours, Pace(rate, evaluation_s), images, 4, covering, slots, testable)
    assert found.hours <= hours * 1.001 + 0.01 or (found.trials, found.epochs, found.crops) == (8, 4, 1)
    assert found.trials >= 8
    assert 1 <= found.crops <= covering
