"""The log tells work that was done again needlessly from work that was lost, or done by an orphan."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossweep.search.simulation.training_log import Deed, TrainingLog, trained

Line = tuple[Deed, int, str]


def log_of(folder: Path, lines: list[Line]) -> TrainingLog:
    log = TrainingLog(folder)
    for deed, epoch, attempt in lines:
        log.note(deed, 3, epoch, attempt)
    return log


@pytest.mark.parametrize(
    "lines",
    [
        [("begun", 0, "a"), ("trained", 1, "a"), ("saved", 1, "a"), ("trained", 2, "a"), ("saved", 2, "a")],
        # killed before the second epoch was saved
        [("begun", 0, "a"), ("trained", 1, "a"), ("begun", 0, "b"), ("trained", 1, "b"), ("saved", 1, "b")],
        # killed between the checkpoint and its line
        [("begun", 0, "a"), ("trained", 1, "a"), ("begun", 0, "b"), ("trained", 2, "b")],
        # an orphan goes on after the next attempt began
        [("begun", 0, "a"), ("trained", 1, "a"), ("begun", 0, "b"), ("saved", 1, "a"), ("trained", 1, "b")],
    ],
)
def test_what_no_checkpoint_held_may_be_trained_again(tmp_path: Path, lines: list[Line]) -> None:
    log = log_of(tmp_path, lines)
    assert log.trained_needlessly() == []
    assert trained(tmp_path) == [(3, epoch) for deed, epoch, _ in lines if deed == "trained"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [
                ("begun", 0, "a"),
                ("trained", 1, "a"),
                ("saved", 1, "a"),
                ("begun", 0, "b"),
                ("trained", 1, "b"),
            ],
            "epoch 1 was trained, though it was saved when it began",
        ),
        ([("begun", 0, "a"), ("trained", 1, "a"), ("trained", 1, "a")], "epoch 1 was trained after 1"),
        ([("begun", 0, "a"), ("trained", 1, "a"), ("trained", 3, "a")], "epoch 3 was trained after 1"),
    ],
)
def test_needless_work_is_named(tmp_path: Path, lines: list[Line], said: str) -> None:
    (only,) = log_of(tmp_path, lines).trained_needlessly()
    assert only == f"trial 3, attempt {lines[-1][2]}: {said}"
