"""A sweep's checkpoints stay below a size; what goes is what nobody needs and few would go on from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import run_sweep
from lossweep.search.study.events import TrialEnded
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.upkeep.checkpoint_limit import LEADERS, LOOK_EVERY_S, CheckpointLimit, forget
from lossweep.search.upkeep.checkpoints import all_checkpoints, gc, needed_trials, prefixes_of
from lossweep.search.workspace import Workspace
from lossweep.spaces.schedules.common_prefix import identity
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.prefix import TrainedEpoch
from tests.search.small_sweeps import spec, task, workspace

TRIALS = 16


def history_of(where: Workspace) -> SweepHistory:
    ledger = Ledger(where.database_url)
    try:
        return ledger.history("small")
    finally:
        ledger.close()


def checkpointed(where: Workspace) -> Iterator[Path]:
    """A checkpoint of every epoch that any trial went through, as a real trainer would leave it."""
    store = CheckpointStore(where.checkpoints("small"))
    for trial in history_of(where).trials:
        cursor, past = ScheduleCursor.start(trial.schedule, trial.evaluations[-1].epochs), []
        for each in trial.evaluations:
            by = trial.number if each.trained_by is None else each.trained_by
            past.append(TrainedEpoch(identity(cursor.current), cursor.epochs_in_phase, each, by))
            cursor = cursor.advance(each.metrics)
            path = store.save("context", past, {"model": {}})
            os.utime(path, ns=(0, 0))
            yield path


@pytest.fixture
def kept(tmp_path: Path) -> Workspace:
    where = workspace(tmp_path)
    run_sweep(spec(trials=TRIALS), where, task=task(tmp_path / "work"))
    assert list(checkpointed(where))
    return where


def names(where: Workspace) -> set[str]:
    return {one.name for one in all_checkpoints(where, "small")}


def test_below_the_limit_nothing_goes(kept: Workspace) -> None:
    before = names(kept)
    total = sum(one.bytes for one in all_checkpoints(kept, "small"))
    assert forget(kept, history_of(kept), total).files == 0
    assert names(kept) == before


def test_what_leaders_need_stays_even_above_the_limit(kept: Workspace) -> None:
    history, before = history_of(kept), names(kept)
    needed = needed_trials(history, LEADERS)
    gone = forget(kept, history, 1)
    wanted = {name for trial in history.trials if trial.number in needed for name in prefixes_of(trial)}
    assert names(kept) == wanted & before
    assert gone.files == len(before - wanted) > 0
    assert wanted & before == wanted, "whoever had trained them"


def test_unfinished_trials_keep_theirs_and_so_does_what_no_trial_has_reported(kept: Workspace) -> None:
    history = history_of(kept)
    worst = history.ranked()[-1]
    left = replace(worst, outcome=OutcomeKind.INTERRUPTED)
    trials = tuple(left if trial is worst else trial for trial in history.trials)
    unreported = TrainedEpoch("a phase", 0, None, worst.number)
    path = CheckpointStore(kept.checkpoints("small")).save("context", [unreported], {})
    forget(kept, replace(history, trials=trials), 1)
    assert set(prefixes_of(worst)) <= names(kept)
    assert path.exists()


def test_the_worst_ranked_go_first_and_of_theirs_the_longest(kept: Workspace) -> None:
    history = history_of(kept)
    ranked = [trial for trial in history.ranked() if trial.number not in needed_trials(history, LEADERS)]
    others = {name for trial in history.trials if trial is not ranked[-1] for name in prefixes_of(trial)}
    own = [name for name in prefixes_of(ranked[-1]) if name not in others]
    total = sum(one.bytes for one in all_checkpoints(kept, "small"))
    before = names(kept)
    forget(kept, history, int((total - 1) / 1.0))
    gone = before - names(kept)
    assert own
    assert gone
    unscored = {name for t in history.trials if t not in history.ranked() for name in prefixes_of(t)}
    mine = [name for name in own if name in gone]
    assert gone - unscored <= {name for trial in ranked for name in prefixes_of(trial)}
    assert mine == own[len(own) - len(mine) :], "the longest first"


def test_gc_spares_what_a_leader_went_through_whoever_wrote_it(kept: Workspace) -> None:
    history = history_of(kept)
    best = history.ranked()[0]
    gc(kept, "small", leaders=1)
    assert set(prefixes_of(best)) <= names(kept)


def test_the_listener_looks_now_and_then_and_at_the_end(kept: Workspace, monkeypatch: Any) -> None:
    now, looked = [0.0], []
    monkeypatch.setattr(
        "lossweep.search.upkeep.checkpoint_limit.forget",
        lambda where, history, limit: looked.append(limit) or gc(where, history.name, dry_run=True),
    )
    limit = CheckpointLimit(kept, "small", 2.0, clock=lambda: now[0])
    ended = TrialEnded(history_of(kept).trials[0])
    limit.handle(ended)
    assert not looked
    now[0] = LOOK_EVERY_S
    limit.handle(ended)
    limit.handle(ended)
    limit.close()
    assert looked == [2 * 2**30] * 2
