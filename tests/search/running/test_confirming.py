"""Confirmations as stages of a driven sweep: killed on the way, left to be done, and found by the doctor."""

from __future__ import annotations

from pathlib import Path

import pytest
from confirmed_sweeps import reading_task
from small_sweeps import spec, workspace

from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.existing import existing_sweep
from lossweep.search.upkeep.doctor import examine
from lossweep.search.verdicts.result import verdict_of
from lossweep.search.verdicts.sentence import sentence
from lossweep.spaces.schedules.common_prefix import identity
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.prefix import TrainedEpoch
from tests.dying import run_until_killed

TRIALS = 6


def _drive(folder: Path, killed: int) -> None:
    sweep = spec(trials=TRIALS, confirm={"top": 1, "seeds": 3})
    run_sweep(sweep, workspace(folder), task=reading_task(folder / "work", {killed: "kill"}))


@pytest.mark.slow
@pytest.mark.parametrize("killed", [TRIALS, TRIALS + 4])
def test_killed_in_mid_confirmation_it_comes_to_the_same_verdict(tmp_path: Path, killed: int) -> None:
    sweep = spec(trials=TRIALS, confirm={"top": 1, "seeds": 3})
    whole = run_sweep(sweep, workspace(tmp_path / "whole"), task=reading_task(tmp_path / "whole" / "work"))
    folder = tmp_path / "killed"
    run_until_killed(_drive, folder, killed)
    state = existing_sweep(workspace(folder), "small")
    assert state is not None
    assert not state.finished
    assert state.unconfirmed > 0
    resumed = run_sweep(sweep, workspace(folder), resume=True, task=reading_task(folder / "work"))
    verdicts = [verdict_of(history) for history in (whole, resumed)]
    assert verdicts[0] is not None
    assert verdicts[0] == verdicts[1]
    said = [sentence(verdict, "F1", "small") for verdict in verdicts if verdict is not None]
    assert said[0] == said[1]
    assert whole.confirmation is not None
    assert resumed.confirmation is not None
    assert whole.confirmation.reads == resumed.confirmation.reads == resumed.confirmation.planned
    assert [t.number for t in whole.recorded] == [t.number for t in resumed.recorded]


def test_a_confirmation_that_was_cut_short_is_left_to_be_done(tmp_path: Path) -> None:
    where, work = workspace(tmp_path), reading_task(tmp_path / "work")
    sweep = spec(trials=6, confirm={"top": 1, "seeds": 2})
    history = run_sweep(sweep, where, task=work)
    assert history.confirmation is not None
    assert history.confirmation.complete
    state = existing_sweep(where, "small")
    assert state is not None
    assert (state.finished, state.unconfirmed) == (True, 0)
    last = history.recorded[-1]
    phase = last.schedule.phases[0]
    store = CheckpointStore(where.checkpoints("small"))
    store.save("context", [TrainedEpoch(identity(phase), 0, None, last.number)], {})
    assert examine(where, "small") == (), "its checkpoints are some trial's"
    ledger = Ledger(where.database_url)
    study = ledger.storage.get_study_id_from_name("small")
    (plan,) = ledger.storage.get_study_user_attrs(study)["confirmations"]
    more = [{**plan, "seeds": 3}]
    ledger.storage.set_study_user_attr(study, "confirmations", more)
    ledger.close()
    state = existing_sweep(where, "small")
    assert state is not None
    arms = len({arm.schedule for arm in history.confirmation.plan.arms})
    assert (state.finished, state.unconfirmed) == (False, arms)
    assert f"{arms} trainings that confirm" in str(state)
