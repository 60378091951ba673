"""What a trial takes of a cluster: how many fit, what it sees, and what is said while nothing comes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from small_sweeps import workspace

from lossweep.search.ledger import Ledger
from lossweep.search.running.tune import cluster, worker, workers
from lossweep.search.running.tune.cluster import IdleWatch, TrialResources
from lossweep.search.simulation.training_log import trained
from lossweep.search.study.decisions import Decision
from lossweep.search.study.faults import FaultKind


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


@pytest.mark.parametrize(
    ("ports", "gone"), [("open closed", True), ("open open", False), ("open dead", False)]
)
def test_of_a_worker_that_was_lost_before_it_said_where_it_ran_any_machine_may_be_gone(
    ports: str, gone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker on a machine that is taken away may be lost before it has written its card."""
    monkeypatch.setattr(workers, "_DYING_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server(("127.0.0.1", 0)) as shut:
        port = {"open": listening.getsockname()[1], "closed": shut.getsockname()[1], "dead": 1}
        shut.close()
        nodes = [
            _node(2, alive=kind != "dead")
            | {"NodeID": str(i), "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": port[kind]}
            for i, kind in enumerate(ports.split())
        ]
        monkeypatch.setattr(workers._ray, "is_initialized", lambda: True)
        monkeypatch.setattr(workers._ray, "nodes", lambda: nodes)
        assert workers.RayWorkers(tmp_path, "0").machine_is_gone("never begun") is gone


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
    ends = [(str(trial.outcome), trial.reason) for trial in history.trials]
    assert [outcome for outcome, _ in ends] == ["completed"] * 4, (ends, faults, run.stdout)
    assert sorted(filter(None, faults)) == [FaultKind.NODE_LOST]
    retries = [d.reason for t in history.trials for d in t.decisions if d.action is Decision.RETRY]
    assert len(retries) == 1
    assert "its machine went away" in retries[0]
    again = Counter(trained(tmp_path / "work"))
    assert max(again.values()) <= 2, "at most the epoch that was not saved"
