"""What a verdict says of another training by an exported schedule, as the schedule's file tells it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from confirmed_sweeps import TOP_HEAVY, sweep
from small_sweeps import spec

from lossweep.search.exporting.retraining import retrained_words, retraining_plan
from lossweep.search.exporting.retraining_support import schedule_doubt, training_doubt
from lossweep.search.study.confirmation import Role
from lossweep.search.upkeep.export import export_best
from lossweep.spaces.schedules.schedule_file import ScheduleFile

SWEEP = sweep(TOP_HEAVY)
BEST = export_best(SWEEP)


def said(file: ScheduleFile) -> str:
    doubt = schedule_doubt(file)
    assert doubt is not None
    return str(doubt)


def told(**provenance: Any) -> ScheduleFile:
    return BEST.model_copy(update={"provenance": provenance})


def test_what_holds_holds_for_any_seed() -> None:
    assert schedule_doubt(BEST) is None
    for seed in (None, 99):
        assert training_doubt(BEST, retraining_plan(BEST, spec(), seed), "sha256:0") is None


def test_it_is_refused_as_publish_would_refuse_the_sweep() -> None:
    assert said(export_best(sweep())) == (
        "sweep small had no verdict when the schedule was exported; "
        "once it has one: lossweep export small -o BEST.yaml; to confirm it: lossweep confirm small"
    )
    other = export_best(SWEEP, number=2)
    assert said(other).startswith("the verdict on sweep small does not stand behind trial 2; for what a")
    equal = dict.fromkeys(TOP_HEAVY, 0.70)
    close = export_best(sweep({**equal, Role.LEADER: 0.704}))
    assert said(close).startswith("the confirmation of sweep small can't tell yet who is ahead; ")
    assert SWEEP.confirmation is not None
    plan = replace(SWEEP.confirmation.plan, seeds=5)
    short = replace(SWEEP, confirmation=replace(SWEEP.confirmation, plan=plan))
    assert said(export_best(short)).startswith("the confirmation of sweep small is not complete; ")


def test_a_file_that_does_not_tell_is_doubted() -> None:
    assert said(told()).startswith("the schedule comes from no sweep")
    verdict = {key: value for key, value in BEST.provenance["verdict"].items() if key != "stands_behind"}
    assert said(told(**{**BEST.provenance, "verdict": verdict})).startswith("an earlier version wrote")


@pytest.mark.parametrize(
    ("changes", "epochs", "data", "words"),
    [
        ({}, 3, "sha256:0", "3 epochs (then 4)"),
        ({}, None, "sha256:1", "data sha256:1 (then sha256:0)"),
        ({"training": {"batch": 4}}, None, "sha256:0", "other training settings"),
        ({"model": {"encoder": "resnet34"}}, 3, "sha256:0", "3 epochs (then 4); other settings of the model"),
    ],
)
def test_what_is_trained_otherwise_is_not_what_was_confirmed(
    changes: dict[str, Any], epochs: int | None, data: str, words: str
) -> None:
    doubt = training_doubt(BEST, retraining_plan(BEST, spec(**changes), epochs=epochs), data)
    assert str(doubt) == f"what is trained is not what was confirmed: {words}"


def test_a_schedule_that_was_changed_in_its_file_is_another_one() -> None:
    changed = BEST.model_copy(update={"phases": BEST.phases[:1]})
    doubt = training_doubt(changed, retraining_plan(changed, spec()), "sha256:0")
    assert doubt is not None
    assert "the schedule cross_entropy + 0.5*dice @3e-3 x2 (then cross_entropy + 0.5*dice" in str(doubt)


def test_it_is_told_what_the_training_has_to_do_with_those_that_were_confirmed() -> None:
    assert "seed 1001, one of the seeds that were confirmed" in retrained_words(BEST, 1001, None)
    assert "seed 7, none of the seeds that were confirmed" in retrained_words(BEST, 7, None)
    doubted = retrained_words(BEST, 7, schedule_doubt(told()))
    assert doubted == (
        "trained by lossweep train with seed 7; no verdict stands behind it: the schedule comes from no sweep"
    )
