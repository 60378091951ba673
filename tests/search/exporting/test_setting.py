"""What decides how a training goes, told in a file, and in what another training differs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_sweeps import spec

from lossweep.search.conducting.plans import template_of
from lossweep.search.exporting.setting import differences, setting_of
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.plan import TrialPlan

SCHEDULE = LossSchedule.parse("jaccard @1e-3 x2")


def plan(**changes: object) -> TrialPlan:
    return template_of(spec(**changes)).plan(0, 7, SCHEDULE)  # type: ignore[arg-type]


THEN = setting_of(plan(), "sha256:abc")


def test_the_seed_the_place_and_what_changes_no_figure_do_not_count() -> None:
    other = replace(plan(name="other", training={"batch": 8, "graphs": False}), seed=8, number=3)
    assert differences(THEN, setting_of(other, "sha256:abc")) == ()


@pytest.mark.parametrize(
    ("changed", "data", "words"),
    [
        (plan(epochs=5), "sha256:abc", "5 epochs (then 4)"),
        (plan(), "sha256:def", "data sha256:def (then sha256:abc)"),
        (plan(model={"encoder": "resnet34"}), "sha256:abc", "other settings of the model"),
        (plan(training={"batch": 4}), "sha256:abc", "other training settings"),
        (plan(data={"source": "scenes", "tile": 64}), "sha256:abc", "other crops or augmentation"),
        (replace(plan(), code={"mine:net": "1"}), "sha256:abc", "other code of mine:net"),
        (
            replace(plan(), schedule=LossSchedule.parse("dice @1e-3 x2 | 4 epochs")),
            "sha256:abc",
            "the schedule dice @1e-3 x2 (then jaccard @1e-3 x2)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_other_thing_is_named(changed: TrialPlan, data: str, words: str) -> None:
    assert differences(THEN, setting_of(changed, data)) == (words,)


def test_a_file_that_says_nothing_is_different_in_everything() -> None:
    assert len(differences({}, THEN)) == len(THEN)
