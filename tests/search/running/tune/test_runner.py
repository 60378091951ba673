"""The Ray Tune runner with real workers: faults and stops."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from small_sweeps import spec, task, workspace

from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.runner import Runner
from lossweep.search.running.tune.ray_process import RayProcess
from lossweep.search.running.tune.runner import TuneRunner
from lossweep.search.simulation.training_log import TrainingLog, trained
from lossweep.search.study.decisions import Decision
from lossweep.search.study.events import Event, TrialEvaluated
from lossweep.search.study.faults import FaultKind, SweepFailed
from lossweep.spaces.files.errors import UserError
from tests.search.running.contract import RunnerContract

TUNE = {"runner": "tune"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayProcess]:
    """One private cluster for all tests that need not kill it."""
    with RayProcess(None, 1, tmp_path_factory.mktemp("ray") / "ray.log") as process:
        yield process


@pytest.fixture
def runner(shared: RayProcess, tmp_path: Path) -> TuneRunner:
    return TuneRunner(tmp_path / "logs" / "small", process=shared)


@pytest.mark.slow
class TestContract(RunnerContract):
    @pytest.fixture
    def runner(self, shared: RayProcess, tmp_path: Path) -> Runner:
        return TuneRunner(tmp_path, process=shared)


def agree(root: Path) -> list[TrialState]:
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{root / 'lossweep.db'}")
    return [trial.state for trial in study.trials]


@pytest.mark.slow
def test_every_fault_ends_its_trial_rightly_and_the_sweep_goes_on(
    tmp_path: Path, runner: Runner, capfd: pytest.CaptureFixture[str]
) -> None:
    planted = {1: "exception", 2: "memory", 3: "diverge", 4: "kill", 5: "device"}
    sweep = spec(trials=14, epochs=8, resources=TUNE, pruning={"pruner": "rungs"})
    history = run_sweep(sweep, workspace(tmp_path), task=task(tmp_path / "work", planted), runner=runner)
    assert history.state == "finished"
    kinds = [trial.outcome.value for trial in history.trials]
    assert kinds[:6] == ["completed", "failed", "completed", "diverged", "completed", "completed"]
    assert set(kinds[6:]) == {"completed", "pruned"}
    states = agree(tmp_path)
    assert states == [trial.outcome.optuna_state for trial in history.trials]
    assert "SimulatedFault" in history.trials[1].traceback
    ledger = Ledger(workspace(tmp_path).database_url)
    sweep_id = ledger.sweep("small").id
    faults = {n: [one.fault for one in ledger.attempts(sweep_id, n)] for n in range(6)}
    ledger.close()
    assert faults == {
        0: [None],
        1: [FaultKind.EXCEPTION],
        2: [FaultKind.OUT_OF_MEMORY, None],
        3: [None],
        4: [FaultKind.WORKER_LOST, None],
        5: [FaultKind.WORKER_LOST, None],
    }
    (retry,) = [one for one in history.trials[5].decisions if one.action is Decision.RETRY]
    assert "lost its GPU: RuntimeError: CUDA error: device-side assert triggered" in retry.reason
    # The process that has no GPU trains nothing more.
    entries = list(TrainingLog(tmp_path / "work").entries())
    lost_at = [(one.deed, one.trial, one.epoch) for one in entries].index(("trained", 5, 5))
    assert entries[lost_at].pid not in {one.pid for one in entries[lost_at + 1 :]}
    # The killed worker's trial went on behind its checkpoint.
    epochs = Counter(trained(tmp_path / "work"))
    assert [epochs[4, epoch] for epoch in range(1, 9)] == [1, 1, 1, 1, 2, 1, 1, 1]
    # Warm workers: far fewer processes than trials, two of them lost.
    assert len({entry.pid for entry in entries}) <= 5
    assert capfd.readouterr().err == ""
    assert not list((tmp_path / "logs" / "small").glob("tune-*"))


@pytest.mark.slow
def test_the_first_traceback_reaches_the_caller(tmp_path: Path, runner: Runner) -> None:
    work = task(tmp_path / "work", dict.fromkeys(range(9), "exception"))
    with pytest.raises(SweepFailed) as caught:
        run_sweep(spec(trials=9, resources=TUNE), workspace(tmp_path), task=work, runner=runner)
    assert "SimulatedFault: simulated exception of trial" in caught.value.traceback
    assert TrialState.RUNNING not in agree(tmp_path)


@pytest.mark.slow
def test_a_worker_lost_too_often_fails_its_trial(tmp_path: Path, runner: Runner) -> None:
    work = task(tmp_path / "work", {0: "kill"})
    resources = {"runner": "tune", "max_failures": 0}
    sweep = spec(trials=6, resources=resources)
    history = run_sweep(sweep, workspace(tmp_path), task=work, runner=runner)
    assert history.counts() | {"completed": 5, "failed": 1} == history.counts()
    assert "worker was lost (process " in history.trials[0].reason


class _Signal:
    def __init__(self, at: int) -> None:
        self._left = at

    def handle(self, event: Event) -> None:
        if isinstance(event, TrialEvaluated):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGINT)

    def close(self) -> None:
        pass


@pytest.mark.slow
def test_a_signal_ends_the_running_evaluations_and_loses_none(tmp_path: Path, runner: Runner) -> None:
    folder = tmp_path / "work"
    sweep = spec(trials=6, resources=TUNE)
    work = task(folder, delay=0.3)
    stopped = run_sweep(sweep, workspace(tmp_path), [_Signal(5)], task=work, runner=runner)
    assert stopped.state == "interrupted"
    assert TrialState.RUNNING not in agree(tmp_path)
    assert stopped.counts()["interrupted"] >= 1
    history = run_sweep(sweep, workspace(tmp_path), resume=True, task=task(folder), runner=runner)
    assert history.counts()["completed"] == 6
    assert sorted(trained(folder)) == [(n, e) for n in range(6) for e in range(1, 5)]


@pytest.mark.slow
def test_what_never_fits_is_said_in_the_users_words(tmp_path: Path, runner: TuneRunner) -> None:
    resources = {"runner": "tune", "gpus_per_trial": 1}
    greedy = replace(runner, gpus=1.0)
    with pytest.raises(UserError, match="not one trial fits") as caught:
        run_sweep(spec(resources=resources), workspace(tmp_path), task=task(tmp_path / "work"), runner=greedy)
    assert "1 GPU a trial" in str(caught.value)
