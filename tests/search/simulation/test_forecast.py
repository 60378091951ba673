"""What a sweep will cost is what its simulation cost, and its time that of a short training."""

from __future__ import annotations

import pytest

from lossweep.search.simulation.forecast import Calibration, forecast
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.files.errors import UserError
from tests.search.small_sweeps import PRIOR, spec


def test_trials_and_confirmation_are_counted_and_what_is_shared_is_not_trained() -> None:
    sweep = spec(trials=24, epochs=8, space={"preset": "cycling"}, confirm={"top": 2, "seeds": 2})
    expected = forecast(sweep, PRIOR)
    assert expected == forecast(sweep, PRIOR), "the same each time"
    assert expected.trials == 24
    assert expected.at_most == 24 * 8 >= expected.search.requested >= expected.search.trained > 0
    again = expected.confirmation
    assert again is not None
    assert again.requested % (2 * 8) == 0, "whole arms, two seeds each, never stopped early"
    assert again.trained < again.requested, "the first phase alone begins as its leader does"
    assert expected.trained == expected.search.trained + again.trained
    own = forecast(sweep.model_copy(update={"seeds": "own", "confirm": None}), PRIOR)
    assert own.search.trained == own.search.requested
    assert "confirmation" in str(expected)
    assert "confirmation" not in str(own)


def test_a_metric_of_ones_own_is_refused_in_plain_words() -> None:
    plain = spec().model_dump(mode="json")
    sweep = SweepSpec.model_validate({**plain, "objective": {"metric": "my_metrics:f1"}})
    with pytest.raises(UserError, match="a metric of your own; found my_metrics:f1"):
        forecast(sweep, PRIOR)


def test_hours_follow_from_images_and_speed() -> None:
    measured = Calibration(images_per_second=20.0, images=120, measured_s=5.0)
    assert measured.epoch_s == 6.0
    assert measured.hours(600) == 1.0
    assert str(measured) == "6 s an epoch, 20 images/s, as measured here for 5 s"
