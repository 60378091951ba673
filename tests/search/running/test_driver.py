from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from small_sweeps import spec, task, workspace

from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import LeaseHeld
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.existing import existing_sweep, stored_spec
from lossweep.search.simulation.training_log import trained
from lossweep.search.study.events import Event, SweepEnded, SweepStarted, TrialEnded, TrialEvaluated
from lossweep.search.study.faults import FaultKind, SweepFailed
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.files.errors import UserError


class Ears:
    """Keeps the events, and does something at some of them."""

    def __init__(self, at: int = -1, do: object = None) -> None:
        self.events: list[Event] = []
        self._at, self._do = at, do

    def handle(self, event: Event) -> None:
        self.events.append(event)
        evaluated = sum(isinstance(one, TrialEvaluated) for one in self.events)
        if isinstance(event, TrialEvaluated) and evaluated == self._at:
            self._do()  # type: ignore[operator]

    def close(self) -> None:
        self.events.append(None)  # type: ignore[arg-type]


def states_of(root: Path, name: str = "small") -> list[TrialState]:
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{root / 'lossweep.db'}")
    return [trial.state for trial in study.trials]


def assert_optuna_agrees(root: Path, history: SweepHistory) -> None:
    states = states_of(root)
    assert states == [trial.outcome.optuna_state for trial in history.trials]
    assert TrialState.RUNNING not in states


def test_a_sweep_runs_to_its_end(tmp_path: Path) -> None:
    ears = Ears()
    history = run_sweep(spec(), workspace(tmp_path), [ears], task=task(tmp_path / "work"))
    assert history.state == "finished"
    assert history.counts()["completed"] == 7
    # Of so few trials the search for the control takes less than half, and named controls a quarter.
    controls = ["cross_entropy", "cross_entropy", "cross_entropy", "weighted_ce", None, None, None]
    assert [trial.control for trial in history.trials] == controls
    assert isinstance(ears.events[0], SweepStarted)
    assert isinstance(ears.events[-2], SweepEnded)
    assert ears.events[-2].sweep == history
    assert sum(isinstance(one, TrialEvaluated) for one in ears.events) == 7 * 4
    assert len(trained(tmp_path / "work")) == 7 * 4
    assert_optuna_agrees(tmp_path, history)


def test_faults_end_each_trial_in_its_own_way(tmp_path: Path) -> None:
    planted = {1: "exception", 2: "memory", 3: "diverge"}
    work = task(tmp_path / "work", planted)
    history = run_sweep(spec(), workspace(tmp_path), task=work)
    kinds = {trial.number: trial.outcome.value for trial in history.trials}
    assert kinds == {0: "completed", 1: "failed", 2: "completed", 3: "diverged"} | dict.fromkeys(
        (4, 5, 6), "completed"
    )
    failed, retried, diverged = history.trials[1:4]
    assert "SimulatedFault" in failed.reason
    assert "simulated_trainer.py" in failed.traceback
    assert [one.action for one in retried.decisions].count("retry") == 1
    assert "micro-batch of 4" in next(one.reason for one in retried.decisions if one.action == "retry")
    assert diverged.decisions[-1].action == "diverge"
    assert_optuna_agrees(tmp_path, history)
    ledger = Ledger(workspace(tmp_path).database_url)
    attempts = ledger.attempts(ledger.sweep("small").id)
    assert [one.fault for one in attempts if one.trial == 2] == [FaultKind.OUT_OF_MEMORY, None]
    assert [one.micro_batch for one in attempts if one.trial == 2] == [None, 4]
    assert all(one.ended is not None for one in attempts)
    ledger.close()


def test_a_sweep_whose_first_trials_fail_alike_stops(tmp_path: Path) -> None:
    work = task(tmp_path / "work", dict.fromkeys(range(7), "exception"))
    with pytest.raises(SweepFailed) as caught:
        run_sweep(spec(), workspace(tmp_path), task=work)
    assert "simulated exception of trial 0" in caught.value.traceback
    state = existing_sweep(workspace(tmp_path), "small")
    assert state is not None
    assert (state.state, state.counts["failed"]) == ("failed", 3)
    assert "failed alike" in state.note
    assert TrialState.RUNNING not in states_of(tmp_path)


def test_what_failed_is_tried_again_once_the_mistake_is_mended(tmp_path: Path) -> None:
    where, broken = workspace(tmp_path), task(tmp_path / "work", dict.fromkeys(range(7), "exception"))
    with pytest.raises(SweepFailed):
        run_sweep(spec(), where, task=broken)
    unasked, asked = (existing_sweep(where, "small", retry_failed=wish) for wish in (False, True))
    assert unasked is not None
    assert asked is not None
    assert (unasked.left, unasked.failed, unasked.retried) == (4, 3, 0)
    assert (asked.left, asked.failed, asked.retried) == (4, 3, 3)
    assert "try 3 failed ones again and start 4 new ones" in str(asked)
    history = run_sweep(spec(), where, resume=True, retry_failed=True, task=task(tmp_path / "work"))
    assert history.state == "finished"
    assert [trial.outcome.value for trial in history.trials] == ["failed"] * 3 + ["completed"] * 7
    assert [trial.retries for trial in history.trials] == [None] * 3 + [0, 1, 2] + [None] * 4
    assert all("simulated exception" in trial.traceback for trial in history.trials[:3])
    controls = ["cross_entropy", "cross_entropy", "cross_entropy", "weighted_ce", None, None, None]
    assert [trial.control for trial in history.standing] == controls
    assert (history.ended, history.failed_for_good) == (7, ())
    assert_optuna_agrees(tmp_path, history)
    done = existing_sweep(where, "small", retry_failed=True)
    assert done is not None
    assert (done.finished, done.left, done.failed) == (True, 0, 0)


def test_a_sweep_that_is_finished_but_for_what_failed_can_go_on_with_that(tmp_path: Path) -> None:
    where = workspace(tmp_path)
    finished = run_sweep(spec(), where, task=task(tmp_path / "work", {5: "exception"}))
    assert finished.state == "finished"
    assert [trial.number for trial in finished.failed_for_good] == [5]
    for wish in (False, True):
        state = existing_sweep(where, "small", retry_failed=wish)
        assert state is not None
        assert state.finished is not wish
    broken = task(tmp_path / "work", {7: "exception"})
    again = run_sweep(spec(), where, resume=True, retry_failed=True, task=broken)
    assert (again.state, again.counts()["failed"]) == ("finished", 2)
    assert [trial.number for trial in again.failed_for_good] == [7]


def test_proposals_that_fail_alike_stop_it_though_the_controls_went_well(tmp_path: Path) -> None:
    work = task(tmp_path / "work", dict.fromkeys(range(8, 30), "exception"))
    with pytest.raises(SweepFailed, match="the first 3 proposals failed alike") as caught:
        run_sweep(spec(trials=30), workspace(tmp_path), task=work)
    assert "simulated exception of trial 8" in caught.value.traceback
    state = existing_sweep(workspace(tmp_path), "small")
    assert state is not None
    assert (state.counts["completed"], state.counts["failed"]) == (8, 3)


def test_a_full_disk_pauses_the_sweep_and_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    work = task(folder, {2: "disk"})
    paused = run_sweep(spec(), workspace(tmp_path), task=work)
    assert paused.state == "interrupted"
    assert paused.trials[2].outcome is OutcomeKind.INTERRUPTED
    assert "No space left" in paused.trials[2].reason
    ledger = Ledger(workspace(tmp_path).database_url)
    assert "No space left" in ledger.sweep("small").note
    ledger.close()
    (folder / "roomy").touch()
    history = run_sweep(spec(), workspace(tmp_path), resume=True, task=work)
    assert history.counts()["completed"] == 7
    assert paused.trials[:2] == history.trials[:2]
    assert_optuna_agrees(tmp_path, history)


def test_a_signal_finishes_the_evaluation_and_resuming_goes_on_there(tmp_path: Path) -> None:
    ears = Ears(6, lambda: os.kill(os.getpid(), signal.SIGTERM))
    work = task(tmp_path / "work")
    stopped = run_sweep(spec(), workspace(tmp_path), [ears], task=work)
    assert stopped.state == "interrupted"
    assert [trial.outcome.value for trial in stopped.trials] == ["completed", "interrupted"]
    assert_optuna_agrees(tmp_path, stopped)
    state = existing_sweep(workspace(tmp_path), "small")
    assert state is not None
    assert (state.unfinished, state.left, state.holder) == (1, 5, None)
    assert "resuming would go on with 1 unfinished" in str(state)
    history = run_sweep(spec(), workspace(tmp_path), resume=True, task=work)
    assert history.counts()["completed"] == 7
    # Not one epoch was trained twice.
    assert sorted(trained(tmp_path / "work")) == [(n, e) for n in range(7) for e in range(1, 5)]


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    work = task(tmp_path / "work")
    history = run_sweep(spec(), workspace(tmp_path), [Ears(6, twice)], task=work)
    assert history.state == "interrupted"
    assert_optuna_agrees(tmp_path, history)
    again = run_sweep(spec(), workspace(tmp_path), resume=True, task=work)
    assert again.counts()["completed"] == 7


def test_a_sweep_is_stopped_from_elsewhere(tmp_path: Path) -> None:
    where = workspace(tmp_path)

    def ask() -> None:
        ledger = Ledger(where.database_url)
        state = existing_sweep(where, "small")
        assert state is not None
        assert state.holder is not None
        assert state.holder.pid == os.getpid()
        ledger.request_stop("small")
        ledger.close()

    work = task(tmp_path / "work", delay=0.2)
    stopped = run_sweep(spec(trials=50), where, [Ears(1, ask)], task=work)
    assert stopped.state == "stopped"
    assert len(stopped.trials) < 10
    assert_optuna_agrees(tmp_path, stopped)
    # The wish is forgotten when the sweep is taken up again, and the budget may be another.
    history = run_sweep(spec(trials=8), where, resume=True, task=task(tmp_path / "work"))
    assert (history.state, len(history.trials)) == ("finished", 8)


def test_a_second_driver_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    where, refused = workspace(tmp_path), []

    def second() -> None:
        try:
            run_sweep(spec(), where, resume=True, on_signal=False, task=task(tmp_path / "work"))
        except LeaseHeld as error:
            refused.append(str(error))

    def intrude() -> None:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()

    history = run_sweep(spec(), where, [Ears(3, intrude)], task=task(tmp_path / "work"))
    assert history.counts()["completed"] == 7
    assert len(refused) == 1
    assert f"process {os.getpid()}" in refused[0]


def test_what_exists_is_not_submitted_again_and_what_does_not_is_not_resumed(tmp_path: Path) -> None:
    where, work = workspace(tmp_path), task(tmp_path / "work")
    with pytest.raises(UserError, match="no sweep named small"):
        run_sweep(spec(), where, resume=True, task=work)
    run_sweep(spec(trials=5), where, task=work)
    with pytest.raises(UserError, match="already a sweep named small, finished"):
        run_sweep(spec(trials=5), where, task=work)
    assert existing_sweep(where, "other") is None


def test_a_sampler_that_does_not_fit_the_space_takes_no_name(tmp_path: Path) -> None:
    where = workspace(tmp_path)
    with pytest.raises(UserError, match="CMA-ES needs a space of numbers"):
        run_sweep(spec(sampler={"sampler": "cmaes"}), where, task=task(tmp_path / "work"))
    assert existing_sweep(where, "small") is None


def test_a_changed_sweep_file_or_changed_data_are_refused(tmp_path: Path) -> None:
    where, work = workspace(tmp_path), task(tmp_path / "work")
    run_sweep(spec(trials=5), where, task=work)
    changed = spec(trials=6, seed=4, objective={"use_case": "counting"})
    with pytest.raises(UserError) as caught:
        run_sweep(changed, where, resume=True, task=work)
    assert {problem.key for problem in caught.value.problems} == {"seed", "objective"}
    state = existing_sweep(where, "small", changed)
    assert state is not None
    assert set(state.changes) == {"seed", "objective", "budget"}
    with pytest.raises(UserError, match="data have changed"):
        run_sweep(spec(trials=6), where, resume=True, task=task(tmp_path / "work", fingerprint="sha256:1"))
    with pytest.raises(UserError, match=r"budget\.epochs"):
        run_sweep(spec(trials=6, epochs=9), where, resume=True, task=work)


def test_the_sweep_file_is_kept_as_submitted(tmp_path: Path) -> None:
    where = workspace(tmp_path)
    run_sweep(spec(trials=5), where, task=task(tmp_path / "work"))
    ledger = Ledger(where.database_url)
    assert stored_spec(ledger.sweep("small")) == spec(trials=5)
    ledger.close()


def test_a_listener_that_fails_stops_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("MLflow is away")

    history = run_sweep(spec(trials=5), workspace(tmp_path), [Ears(2, fail)], task=task(tmp_path / "work"))
    assert history.counts()["completed"] == 5


def test_hours_that_are_spent_start_nothing_more(tmp_path: Path) -> None:
    budget = {"trials": 60, "epochs": 4, "hours": 3.0 / 3600}
    work = task(tmp_path / "work", delay=0.05)
    history = run_sweep(spec(budget=budget), workspace(tmp_path), task=work)
    assert 0 < len(history.trials) < 60
    assert history.state == "finished"


def test_a_trial_ended_event_tells_the_final_outcome(tmp_path: Path) -> None:
    ears = Ears()
    run_sweep(spec(trials=5), workspace(tmp_path), [ears], task=task(tmp_path / "work", {1: "exception"}))
    ends = [one.trial.outcome.value for one in ears.events if isinstance(one, TrialEnded)]
    assert ends == ["completed", "failed", "completed", "completed", "completed"]
