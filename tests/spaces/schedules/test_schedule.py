"""Canonical form, keys and prefixes of schedules, and what a schedule refuses."""

from __future__ import annotations

import html
import os
import pickle
import re
import subprocess
import sys

import pytest
from pydantic import ValidationError

from lossweep.spaces.losses.terms import Jaccard
from lossweep.spaces.schedules.schedule import LossSchedule, Phase, Until

RECIPE = (
    "weighted_ce(power=0.7) @1e-3 until recall>=0.9 in 2..6 back <0.8 -> jaccard @1e-4 x4 cosine"
    " | 3 cycles | 30 epochs"
)
IMPORTED = 'mine.losses:Edge(width=3, "a b"={"c": [1, null, true]}) + 0.5*dice @0.0011 x2 warmup 10 fresh'


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dice @1e-3 x2 -> dice @1e-3 x2", "dice @0.001 x2 | 2 cycles"),
        (
            "dice @1 x1 -> jaccard @1 x1 -> dice @1 x1 -> jaccard @1 x1",
            "dice @1 x1 -> jaccard @1 x1 | 2 cycles",
        ),
        ("dice(smooth=1) @1e-3 x2", "dice @1e-3 x2 constant"),
        ("dice(smooth=3.0) @1e-3 x2", "dice(smooth=3) @.001 x2"),
        ("dice + cross_entropy @1 x1", "cross_entropy + 1.0*dice @1 x1"),
        ("a.b:C(n=3.0) @1 x1", "a.b:C(n=3) @1 x1"),
        ("dice @1 until recall>=0.5 in 4..4", "dice @1 x4"),
        ("tversky(alpha=0.0) @1 x1", "tversky(alpha=-0.0) @1 x1"),
        ("focal(weights=[1, 2]) @1 x1", "focal(weights=[1.0, 2.0], gamma=2) @1 x1"),
    ],
)
def test_two_ways_of_writing_one_schedule_are_one(one: str, other: str) -> None:
    first, second = LossSchedule.parse(one), LossSchedule.parse(other)
    assert first == second
    assert hash(first) == hash(second)
    assert first.key == second.key
    assert first.plain() == second.plain()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dice @1 x4", "dice @1 x2 -> dice @1 x2"),
        ("dice @1 x4", "dice @1 x4 | 4 epochs"),
        ("dice @1 x4", "dice @1 x4 fresh"),
        ("dice @1 until recall>=0.5 in 4..4 back <0.4", "dice @1 x4"),
        ("dice + 2*jaccard @1 x4", "2*dice + jaccard @1 x4"),
        ("a.b:C(n=true) @1 x1", "a.b:C(n=1) @1 x1"),
        ('a.b:C(n="1") @1 x1', "a.b:C(n=1) @1 x1"),
    ],
)
def test_different_schedules_differ(one: str, other: str) -> None:
    first, second = LossSchedule.parse(one), LossSchedule.parse(other)
    assert first != second
    assert first.key != second.key
    assert str(first) != str(second)


def test_keys_are_these_for_ever() -> None:
    """Recorded digests: keys name checkpoints and must not change with a process, a Python or a library."""
    recipe = LossSchedule.parse(RECIPE)
    assert recipe.key == "ba6453a96c6eab85a60fd5a836cde745bdac81451e116184b1068fa1e3149502"
    assert recipe.prefix_key(1) == "33c4a9d30d73097582c734d22b46b5c29017048d08fe276b97e02de822528e0f"
    assert (
        LossSchedule.parse(IMPORTED).key == "189bc485e98e73a3367fcf684fe75142b51888ab574a70d6cc4b37e0ab6cf70f"
    )


@pytest.mark.parametrize("seed", ["0", "1", "4294967295"])
def test_keys_are_the_same_in_another_process(seed: str) -> None:
    code = (
        "import sys; from lossweep.spaces.schedules.schedule import LossSchedule as S\n"
        "for line in sys.argv[1:]:\n"
        "    s = S.parse(line)\n"
        "    print(s.key, *(s.prefix_key(k + 1) for k in range(len(s.unrolled()))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, RECIPE, IMPORTED],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    here = [LossSchedule.parse(line) for line in (RECIPE, IMPORTED)]
    assert [line.split() for line in run.stdout.splitlines()] == [
        [schedule.key, *(schedule.prefix_key(count + 1) for count in range(len(schedule.unrolled())))]
        for schedule in here
    ]


def test_prefix_is_the_beginning_without_budget() -> None:
    recipe = LossSchedule.parse(RECIPE)
    assert str(recipe.prefix(1)) == "weighted_ce(power=0.7) @1e-3 until recall>=0.9 in 2..6 back <0.8"
    assert recipe.prefix(4).cycles == 2
    assert recipe.prefix(6).unrolled() == recipe.unrolled()
    shorter = LossSchedule(phases=recipe.phases, cycles=2, epochs=20)
    assert [shorter.prefix_key(count) for count in (1, 2, 3, 4)] == [
        recipe.prefix_key(count) for count in (1, 2, 3, 4)
    ]
    for count in (0, 7):
        with pytest.raises(ValueError, match=f"count must be from 1 to 6, but got count={count}"):
            recipe.prefix(count)


def test_properties() -> None:
    recipe = LossSchedule.parse(RECIPE)
    assert recipe.most_epochs == 30
    assert recipe.budget == 30
    assert LossSchedule.parse("dice @1 x4 | 2 cycles").budget == 8
    assert recipe.metrics == {"recall"}
    assert recipe.family == "weighted_ce → jaccard"
    assert [phase.loss_name for phase in recipe.phases] == ["weighted_ce(power=0.7)", "jaccard"]
    assert (
        LossSchedule.parse("dice + cross_entropy @1 x1 -> a.b:Edge @1 x2").family
        == "cross_entropy+dice → a.b:Edge"
    )


def test_a_schedule_is_immutable_and_crosses_processes() -> None:
    schedule = LossSchedule.parse(IMPORTED)
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    with pytest.raises(ValidationError):
        schedule.cycles = 2  # type: ignore[misc]  # that it can't be set is what is tested


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ({"epochs": None}, "a phase needs a length"),
        (
            {"epochs": 2, "until": Until(metric="f1", at_least=0.5, epochs=(1, 2))},
            "a phase has one length, not two",
        ),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"epochs": 1, "learning_rate": 0.0}, "greater than 0"),
        ({"epochs": 1, "learning_rate": float("nan")}, "finite"),
        ({"epochs": 1, "shape": "linear"}, "'constant', 'cosine' or 'drop'"),
    ],
)
def test_wrong_phases_are_refused(phase: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Phase(**{"loss": Jaccard(), "learning_rate": 1e-3, **phase})


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ({"metric": "recal"}, "unknown metric"),
        ({"metric": "fbeta"}, "unknown metric"),
        ({"epochs": (3, 2)}, "the least number of epochs is above the most"),
        ({"epochs": (0, 2)}, "greater than or equal to 1"),
        ({"back_below": 0.9}, "going back must be at a worse level"),
        ({"back_below": 0.95}, "going back must be at a worse level"),
        ({"metric": "count_error", "back_below": 0.8}, "going back must be at a worse level"),
        ({"at_least": float("inf")}, "finite"),
    ],
)
def test_wrong_untils_are_refused(until: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Until(**{"metric": "recall", "at_least": 0.9, "epochs": (1, 2), **until})


def test_classes_are_checked() -> None:
    schedule = LossSchedule.parse(
        "weighted_ce(weights=[1, 2]) @1 until recall/vehicel>=0.9 in 1..2"
        " -> focal(weights=[1, 2, 3]) + dice @1 x1"
    )
    short, unknown = schedule.check(("background", "vehicle", "ship"))
    assert str(short) == (
        "phases[0].loss.weights: 2 class weights for 3 classes; found [1.0, 2.0]; "
        "allowed: one weight each for background, vehicle, ship"
    )
    assert unknown.key == "phases[0].until.metric"
    assert unknown.hint == "did you mean 'vehicle'?"
    (long,) = LossSchedule.parse("focal(weights=[1, 2, 3]) + dice @1 x1").check(("background", "vehicle"))
    assert long.key == "phases[0].loss.sum[0].loss.weights"


@pytest.mark.parametrize("line", [RECIPE, IMPORTED])
def test_a_notebook_shows_the_line_and_a_row_a_phase(line: str) -> None:
    schedule = LossSchedule.parse(line)
    shown = schedule._repr_html_()
    assert f"<code>{html.escape(str(schedule))}</code>" in shown
    rows = [
        [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", shown.partition("<tbody>")[2])
    ]
    assert [int(row[0]) for row in rows] == [*range(1, len(schedule.phases) + 1)]
    for (_, loss, rate, *rest), phase in zip(rows, schedule.phases, strict=True):
        assert " ".join((loss, f"@{rate}", *(part for part in rest if part))) == str(phase)


def test_what_a_notebook_shows_of_a_schedule_is_text_and_no_markup_of_its_own() -> None:
    schedule = LossSchedule.parse('a.b:C(n="<script>alert(1)</script>&") @1 x1')
    shown = schedule._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in shown
