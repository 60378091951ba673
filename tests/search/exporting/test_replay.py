"""Whether a training came out the same, in words; and which trial a file is of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from confirmed_sweeps import TOP_HEAVY, sweep

from lossweep.search.exporting.replay import Replayed, exported_trial, replay
from lossweep.search.upkeep.export import export_best
from lossweep.spaces.files.errors import UserError
from tests.search.small_sweeps import spec, workspace


def test_a_file_is_traced_to_its_trial_unless_it_was_changed() -> None:
    history = sweep(TOP_HEAVY)
    best = export_best(history)
    assert exported_trial(best, history).number == 16
    for changed in (
        best.model_copy(update={"cycles": 2}),
        best.model_copy(update={"provenance": {**best.provenance, "seed": 5}}),
    ):
        with pytest.raises(UserError, match="not the one of trial 16 any more"):
            exported_trial(changed, history)
    with pytest.raises(UserError, match="no such trial"):
        exported_trial(best.model_copy(update={"provenance": {"sweep": "small"}}), history)


def test_the_last_bit_counts() -> None:
    then = sweep().trials[1].evaluations[-1]
    same = Replayed("tuned_f1", then, replace(then, seconds=9.0))
    assert same.reproduced
    assert str(same) == "reproduced bit for bit: tuned_f1 0.750000 after epoch 4, all 4 figures"
    more = replace(then, metrics={**then.metrics, "measured_since": 0.5})
    assert Replayed("tuned_f1", then, more).reproduced, "a later version measures more"
    assert not Replayed("tuned_f1", more, then).reproduced
    moved = replace(then, metrics={**then.metrics, "tuned_f1": 0.75 + 1e-9, "ap": 0.7})
    other = Replayed("tuned_f1", then, moved)
    assert not other.reproduced
    assert "2 of 4 figures differ, most of all ap by -0.05" in str(other)
    ended = Replayed("tuned_f1", then, None)
    assert not ended.reproduced
    assert "ended before epoch 4" in str(ended)


def test_a_training_is_repeated_on_the_same_data_up_to_the_evaluation_of_its_score(tmp_path: Path) -> None:
    small = {"source": "scenes", "tile": 64, "train": 4, "val": 2, "test": 1}
    tiny = {"encoder": "tu-test_resnet", "options": {"encoder_depth": 3, "decoder_channels": [16, 8, 8]}}
    of = spec(data=small, model=tiny)
    trial = sweep().trials[1]
    # Four images and a batch of eight: an epoch is a step.
    half = replace(trial, evaluations=(replace(trial.evaluations[-1], step=2),), scored_step=2)
    with pytest.raises(UserError, match=r"changed since; found sha256:[0-9a-f]{12}; allowed: sha256:other$"):
        list(replay(half, of, workspace(tmp_path), "sha256:other"))
    again = list(replay(half, of, workspace(tmp_path)))
    assert [(evaluation.step, evaluation.epochs) for evaluation in again] == [(1, 4), (2, 4)]
    assert all(evaluation.held_out is None for evaluation in again)
