"""A verdict in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from confirmed_sweeps import LEADER, PLAIN, TOP_HEAVY, sweep

from lossweep.search.study.confirmation import Arm, Role
from lossweep.search.study.ranking import Tried
from lossweep.search.verdicts.result import SweepVerdict, verdict_of
from lossweep.search.verdicts.sentence import (
    arm_label,
    arm_words,
    caveat,
    control_side,
    control_words,
    headline,
    taken_apart,
)
from lossweep.search.verdicts.verdict import Verdict
from lossweep.spaces.schedules.schedule import LossSchedule


def verdict(**means: float) -> SweepVerdict:
    scores = {**TOP_HEAVY, **{Role[name.upper()]: mean for name, mean in means.items()}}
    found = verdict_of(sweep(scores))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("tried", "side"),
    [
        (Tried(5, 3), "the best of 3 plain cross-entropies"),
        (Tried(5, 1), "the only plain cross-entropy tried"),
        (Tried(5, 0, 2), "2 of your own baselines"),
        (Tried(5, 3, 1), "the best of 3 plain cross-entropies and 1 of your own baselines"),
        (Tried(5, 0), ""),
    ],
)
def test_the_controls_side(tried: Tried, side: str) -> None:
    assert control_side(tried) == side


@pytest.mark.parametrize(
    ("schedules", "plain", "said"),
    [
        (1, 2, "The only loss schedule tried was held against the best of 2 plain cross-entropies."),
        (2, 1, "The best of 2 loss schedules was held against the only plain cross-entropy tried."),
        (2, 0, ""),
    ],
)
def test_how_hard_each_side_was_searched(schedules: int, plain: int, said: str) -> None:
    told = headline(replace(verdict(), tried=Tried(schedules, plain)), "F1")
    assert told.endswith(said if said else ". ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cross_entropy @3e-3 x4", "plain cross-entropy at 3e-3 constant"),
        ("cross_entropy @3e-3 x4 cosine", "plain cross-entropy at 3e-3 falling along a cosine"),
        ("dice @1e-3 x4 drop", "dice at 1e-3 dropping to a tenth"),
        ("dice @1e-3 x2 -> mcc @1e-4 x2", "dice (dice @1e-3 x2 -> mcc @1e-4 x2)"),
    ],
)
def test_what_the_control_is(line: str, words: str) -> None:
    assert control_words(LossSchedule.parse(line)) == words


def test_what_an_arm_is() -> None:
    assert arm_label(Arm(Role.CONTROL, 4, PLAIN)) == "control"
    assert arm_label(Arm(Role.LEADER, 4, LEADER)) == "leader trial 4"
    assert arm_label(Arm(Role.ONE_LOSS, 4, PLAIN)) == "all phases with the first loss of trial 4"
    history = sweep(TOP_HEAVY)
    assert history.confirmation is not None
    words = [arm_words(history.confirmation.plan, trial) for trial in history.confirmation.trials[:2]]
    assert words == ["control", "leader trial 1"]
    assert arm_words(history.confirmation.plan, history.trials[2]) == "first phase alone of trial 1"
    unknown = replace(history.trials[2], schedule=LossSchedule.parse("mcc @1 x4"))
    assert arm_words(history.confirmation.plan, unknown) == "an arm of an earlier confirmation"


def test_the_four_verdicts() -> None:
    control = "the control, plain cross-entropy at 3e-3 constant"
    beats = headline(verdict(), "F1")
    assert beats.startswith(
        f"Trial 1 beats {control}: F1 0.700 against 0.500 on the test split, a difference"
    )
    assert "of +0.200 (95 % interval +0.182 to +0.218 over 4 fresh seeds)." in beats
    assert headline(verdict(leader=0.3), "F1").startswith(f"Trial 1 loses to {control}: ")
    assert headline(verdict(leader=0.505), "F1").startswith(
        f"Whether trial 1 beats {control}, cannot be told"
    )
    history = sweep({**TOP_HEAVY, Role.LEADER: 0.505})
    assert history.confirmation is not None
    wide = replace(history.confirmation, plan=replace(history.confirmation.plan, margin=0.25))
    tie = verdict_of(replace(history, confirmation=wide))
    assert tie is not None
    assert headline(tie, "F1").startswith(f"Trial 1 ties with {control}: ")
    assert "4 fresh seeds), within the margin of 0.25. The best of 2" in headline(tie, "F1")


def test_what_earned_the_difference() -> None:
    told = taken_apart(verdict().headline)
    assert told.startswith("Of the difference the loss earned +0.100 ± ")
    assert "and the rates +0.100 ± " in told
    assert "; switching earned +0.150 ± " in told
    assert told.endswith(" over its first phase alone.")
    bare = replace(verdict().headline, loss=None)
    assert taken_apart(bare).startswith("Switching earned +0.150")
    assert taken_apart(replace(bare, switching=None)) == ""


def test_what_else_there_is_to_know() -> None:
    sure = verdict()
    assert caveat(sure, "small") == ""
    assert caveat(replace(sure, complete=False), "small") == "The confirmation is not complete yet."
    assert "had been read 7 times before" in caveat(replace(sure, reads_before=7), "small")
    diverged = replace(sure.arms[1], diverged=2)
    told = caveat(replace(sure, arms=(sure.arms[0], diverged)), "small")
    assert told == "2 of 4 trainings of the leader trial 1 diverged."
    unsure = verdict(leader=0.505)
    assert unsure.headline.judged.verdict is Verdict.CANNOT_TELL

    def needing(seeds: int | None) -> str:
        judged = replace(unsure.headline.judged, seeds_needed=seeds)
        leader = replace(unsure.headline, judged=judged)
        return caveat(replace(unsure, leaders=(leader, *unsure.leaders[1:])), "small")

    assert needing(12) == "It would probably take about 12 seeds: lossweep confirm small --seeds 12."
    assert needing(None).startswith("More than ")
    assert needing(None).endswith("seeds would probably be needed: it hardly matters which is taken.")
    images = replace(sure.headline, image_interval=(0.1, 0.3))
    told = caveat(replace(sure, leaders=(images,), test_images=9), "small")
    assert told == "With other test images like these 9, the difference would lie +0.100 to +0.300 (95 %)."
