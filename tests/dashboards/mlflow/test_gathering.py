"""What waits is written once a trial, whatever was told in between; nothing is counted twice or left out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import histories
from hypothesis import given
from hypothesis import strategies as st
from sweep_events import GO_ON, events

from lossweep.dashboards.mlflow.gathering import StandingWrite, SweepWrite, TrialWrite, gathered
from lossweep.search.study.events import (
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEvaluated,
    TrialStarted,
)

SWEEP = histories.sweep(proposals=0, epochs=3)
TOLD = events(SWEEP)


def test_a_whole_sweep_comes_to_a_write_a_trial() -> None:
    first, *trials, standing, last = gathered(TOLD)
    assert first == SweepWrite(TOLD[0])  # type: ignore[arg-type] # SweepStarted
    assert last == SweepWrite(TOLD[-1])  # type: ignore[arg-type] # SweepEnded
    assert standing == StandingWrite()
    assert [write.number for write in trials if isinstance(write, TrialWrite)] == list(
        range(len(SWEEP.trials))
    )


def test_trials_that_ended_come_before_those_that_run() -> None:
    began = TrialStarted(replace(SWEEP.trials[5], evaluations=(), ended=None))
    evaluation = SWEEP.trials[4].evaluations[0]
    told: list[Event] = [began, TrialEvaluated(4, evaluation, GO_ON), TrialEnded(SWEEP.trials[0])]
    ended, standing, *running = gathered(told)
    assert ended == TrialWrite(0, ended=SWEEP.trials[0], events=1)
    assert standing == StandingWrite()
    assert running == [
        TrialWrite(5, started=began.trial, events=1),
        TrialWrite(4, evaluations=(evaluation,), events=1),
    ]


def test_a_trial_that_goes_on_after_its_end_is_running_again() -> None:
    trial = SWEEP.trials[0]
    again = TrialStarted(replace(trial, ended=None))
    assert gathered([TrialEnded(trial), again]) == [TrialWrite(0, started=again.trial, events=2)]


@given(st.lists(st.integers(0, len(TOLD)), max_size=6))
def test_however_they_come_every_event_is_counted_once(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TOLD)]
    parts = [gathered(TOLD[low:high]) for low, high in pairwise(edges)]
    writes = [write for part in parts for write in part]
    assert sum(write.events for write in writes) == len(TOLD)
    assert [type(w.event) for w in writes if isinstance(w, SweepWrite)] == [SweepStarted, SweepEnded]
    for trial in SWEEP.trials:
        its = [write for write in writes if isinstance(write, TrialWrite) and write.number == trial.number]
        assert its[-1].ended == trial
        assert tuple(e for write in its for e in write.evaluations) == trial.evaluations
