from __future__ import annotations

import pytest

from lossweep.search.study.pace import LEAST_S, TIMES, UNKNOWN_S, Pace


def test_nothing_is_usual_before_the_first_evaluation() -> None:
    pace = Pace()
    assert (pace.usual, pace.patience) == (None, UNKNOWN_S)
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        pace.take(seconds)
    assert pace.usual is None


@pytest.mark.parametrize(
    ("seconds", "usual"),
    [
        ([4.0], 4.0),
        ([1.0, 20.0] * 10, 20.0),  # a phase's last evaluation comes early
        ([5.0] * 19 + [900.0], 5.0),  # one that hung and went on after all
        (range(1, 11), 9),
    ],
)
def test_what_is_usual(seconds: list[float], usual: float) -> None:
    pace = Pace()
    for each in seconds:
        pace.take(each)
    assert pace.usual == usual
    assert pace.patience == max(LEAST_S, TIMES * usual)


def test_old_evaluations_are_forgotten() -> None:
    pace = Pace()
    for seconds in [1000.0] * 100 + [10.0] * 100:
        pace.take(seconds)
    assert pace.usual == 10.0
