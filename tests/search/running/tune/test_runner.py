"""The Ray Tune runner with real workers: faults, stops, a killed driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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
from lossweep.search.running.existing import existing_sweep
from lossweep.search.running.runner import Runner
from lossweep.search.running.tune import cluster, worker
from lossweep.search.running.tune.cluster import IdleWatch, TrialResources
from lossweep.search.running.tune.ray_process import RayProcess
from lossweep.search.running.tune.runner import TuneRunner
from lossweep.search.simulation.training_log import TrainingLog, trained
from lossweep.search.study.decisions import Decision
from lossweep.search.study.events import Event, TrialEvaluated
from lossweep.search.study.faults import FaultKind, SweepFailed
from lossweep.spaces.files.errors import UserError
from tests.search.running.contract import RunnerContract
from tests.search.running.tune.ray_processes import gone, host_of, part_of

TUNE = {"runner": "tune"}


def _node(cpus: float, gpus: float = 0.0, alive: bool = True) -> dict[str, object]:
    return {"Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus, "memory": 1e9}}


@pytest.mark.parametrize(
    ("resources", "nodes", "fit"),
    [
        (TrialResources(1, 0), [_node(2)], 2),
        (TrialResources(1, 0), [_node(2), _node(3), _node(8, alive=False)], 5),
        (TrialResources(2, 0), [_node(3), _node(1)], 1),
        (TrialResources(0.1, 0), [_node(1)], 10),
        (TrialResources(1, 0.25), [_node(16, 2)], 8),
        (TrialResources(1, 0.4), [_node(16, 2)], 4),
        (TrialResources(4, 0.1), [_node(16, 2)], 4),
        (TrialResources(1, 1), [_node(16)], 0),
    ],
)
def test_how_many_trials_fit(resources: TrialResources, nodes: list[dict[str, object]], fit: int) -> None:
    assert resources.fit(nodes) == fit


@pytest.mark.parametrize(
    ("asked", "nodes", "held", "said"),
    [
        (None, [_node(16, 2)], 1.0, True),
        (None, [_node(16), _node(8, 1)], 1.0, True),
        (None, [_node(16)], 0.0, False),
        (None, [_node(16), _node(8, 4, alive=False)], 0.0, False),
        (0.0, [_node(16, 2)], 0.0, False),
        (0.25, [_node(16, 2)], 0.25, False),
    ],
)
def test_a_trial_holds_a_whole_gpu_where_there_is_one(
    asked: float | None,
    nodes: list[dict[str, object]],
    held: float,
    said: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By default it once held none, saw all of them, and every trial of a machine trained on the first."""
    monkeypatch.setattr(cluster._ray, "nodes", lambda: nodes)
    assert TrialResources.chosen(1.0, asked) == TrialResources(1.0, held)
    assert ("holds a whole GPU" in caplog.text) is said


@pytest.mark.parametrize(("gpus", "visible"), [(0.0, ""), (1.0, "3"), (0.5, "3")])
def test_a_worker_that_holds_no_gpu_sees_none(
    gpus: float, visible: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("LOSSWEEP_GPUS_HIDDEN", "")
    monkeypatch.setattr(worker.TrialWorker, "_tell", lambda self: None)
    seen: list[str] = []

    class Looks:
        def prepare(self) -> None:
            seen.append(os.environ["CUDA_VISIBLE_DEVICES"])

        def trial(self, plan: object) -> None:
            raise NotImplementedError

    process = object.__new__(worker.TrialWorker)
    process.setup({worker.ASSIGNMENT: None}, Looks(), gpus, tmp_path)
    assert seen == [visible]


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


_DRIVER = """
import sys
from pathlib import Path
from small_sweeps import spec, task, workspace
from lossweep.search.running.driver import run_sweep

if __name__ == "__main__":
    root, resume = Path(sys.argv[1]), sys.argv[2] == "resume"
    sweep = spec(trials=6, resources={"runner": "tune"})
    run_sweep(sweep, workspace(root), resume=resume, task=task(root / "work", delay=0.2))
"""


@pytest.mark.slow
def test_a_killed_driver_is_gone_on_from(tmp_path: Path) -> None:
    """Its cluster dies with it; orphaned workers may go on for seconds, and do no harm."""
    script = tmp_path / "drive.py"
    script.write_text(_DRIVER, encoding="utf-8")
    folder = tmp_path / "work"
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[4])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    driver = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), "new"], env=environment, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while len(trained(folder)) < 7:
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running = host_of(driver.pid)
    assert running is not None
    driver.kill()
    driver.wait()
    assert gone(running.pid)
    state = existing_sweep(workspace(tmp_path), "small")
    assert state is not None
    assert state.state == "interrupted"
    assert "is gone" in state.note
    assert state.holder is None
    subprocess.run([sys.executable, str(script), str(tmp_path), "resume"], env=environment, check=True)
    ledger = Ledger(workspace(tmp_path).database_url)
    history = ledger.history("small")
    ledger.close()
    assert history.state == "finished"
    assert [trial.number for trial in history.trials] == list(range(6))
    assert history.counts()["completed"] == 6
    assert agree(tmp_path) == [TrialState.COMPLETE] * 6
    # What was trained twice, its workers had in hand, or went on with as orphans.
    assert TrainingLog(folder).trained_needlessly() == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_ray_starts_ends_the_sweep_at_once_as_interrupted(
    tmp_path: Path, number: signal.Signals
) -> None:
    script = tmp_path / "drive.py"
    script.write_text(_DRIVER, encoding="utf-8")
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[4])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    driver = subprocess.Popen([sys.executable, str(script), str(tmp_path), "new"], env=environment)
    try:
        while part_of(driver.pid, "gcs_server") is None:
            assert driver.poll() is None
            time.sleep(0.01)
        running = host_of(driver.pid)
        assert running is not None
        driver.send_signal(number)
        assert driver.wait(10.0) == 0  # of the script: it has the sweep as it stands
    finally:
        driver.kill()
    assert gone(running.pid, within=0.0)
    state = existing_sweep(workspace(tmp_path), "small")
    assert state is not None
    assert (state.state, state.note) == ("interrupted", f"interrupted by {number.name}")
    assert not any(state.counts.values())


def test_that_nothing_runs_is_said_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when others hold the cluster, or its only large node was lost."""
    now = 0.0
    monkeypatch.setattr(cluster.time, "monotonic", lambda: now)
    monkeypatch.setattr(cluster._ray, "nodes", lambda: [_node(4), _node(8, alive=False)])
    monkeypatch.setattr(cluster._ray, "available_resources", lambda: {"CPU": 1.0})
    watch = IdleWatch(TrialResources(2, 0.5), 30.0)
    for moment, waiting, running in ((0, 1, 0), (29, 1, 0), (31, 1, 0), (60, 3, 0), (62, 3, 0), (70, 0, 9)):
        now = float(moment)
        watch.idle(waiting)
        if running:
            watch.busy()
    now = 99.0
    watch.idle(3)
    wanted = "each for 2 CPU and 0.5 GPU on one node; the cluster has 4 CPU and 0 GPU, 1 CPU and 0 GPU free."
    assert [record.getMessage() for record in caplog.records] == [
        f"Nothing has run for 30 s: 1 trial is waiting, {wanted}",
        f"Nothing has run for 30 s: 3 trials are waiting, {wanted}",
    ]


_WAITER = """
import queue, sys, threading
from pathlib import Path
from ray.cluster_utils import Cluster
from rich.console import Console
from small_sweeps import spec, task, workspace
from lossweep.dashboards.terminal.progress import ProgressDisplay
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.tune.runner import TuneRunner
from lossweep.search.study.events import TrialEvaluated


class Screen(queue.Queue):
    # Standard output that can be waited on for certain words.

    def write(self, text):
        sys.stdout.write(text)
        self.put(text)

    def flush(self):
        sys.stdout.flush()

    def until(self, words):
        while words not in self.get(timeout=60.0):
            pass


if __name__ == "__main__":
    root = Path(sys.argv[1])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    screen = Screen()
    evaluated = queue.Queue()

    class Evaluated:
        def handle(self, event):
            if isinstance(event, TrialEvaluated):
                evaluated.put(event)

        def close(self):
            pass

    def drive():
        sweep = spec(trials=4, resources={"runner": "tune", "cpus_per_trial": 2, "max_failures": 0})
        work = task(root / "work", delay=0.3)
        with ProgressDisplay(Console(file=screen), plain=True) as display:
            runner = TuneRunner(root / "logs", cpus=2, address=cluster.address, say_after=1.5)
            told = [display, Evaluated()]
            run_sweep(sweep, workspace(root), told, task=work, runner=runner, on_signal=False)

    driver = threading.Thread(target=drive, daemon=True)
    driver.start()
    try:
        screen.until("Still waiting")
        node = cluster.add_node(num_cpus=2)  # from the main thread, as it sets signals
        for _ in range(2):
            evaluated.get(timeout=60.0)
        cluster.remove_node(node, allow_graceful=False)  # as a spot machine goes
        cluster.add_node(num_cpus=2)
        driver.join(90.0)
    finally:
        cluster.shutdown()
"""


@pytest.mark.slow
def test_resources_that_do_not_come_are_said_and_when_they_go_their_trial_goes_on_elsewhere(
    tmp_path: Path,
) -> None:
    """A trial needs two cores, and the node that has them comes late, and is taken away in mid-trial.

    ``max_failures`` is 0: that a machine went away is no failure of the trial's.
    """
    script = tmp_path / "wait.py"
    script.write_text(_WAITER, encoding="utf-8")
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[4])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "RAY_AUTH_MODE": "disabled"}
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    first = next(line for line in run.stdout.splitlines() if line.startswith("Still waiting"))
    assert "a trial needs 2 CPU on one node, and the cluster has 1 CPU and 0 GPU" in first
    assert "Ctrl-C" in first
    assert run.stdout.count("Still waiting") == 1
    ledger = Ledger(workspace(tmp_path).database_url)
    history = ledger.history("small")
    faults = [attempt.fault for attempt in ledger.attempts(ledger.sweep("small").id)]
    ledger.close()
    assert history.counts()["completed"] == 4
    assert sorted(filter(None, faults)) == [FaultKind.NODE_LOST]
    retries = [d.reason for t in history.trials for d in t.decisions if d.action is Decision.RETRY]
    assert len(retries) == 1
    assert "its machine went away" in retries[0]
    again = Counter(trained(tmp_path / "work"))
    assert max(again.values()) <= 2, "at most the epoch that was not saved"
