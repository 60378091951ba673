"""What the adapters make of a Tune experiment, without one."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial

from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.tune import cluster, workers
from lossweep.search.running.tune.adapters import DispatchScheduler, DispatchSearcher, TuneBridge
from lossweep.search.running.tune.cluster import GrowingSlots, TrialResources
from lossweep.search.running.tune.tuning import wait_for_turn
from lossweep.search.running.tune.workers import RayWorkers
from lossweep.search.running.worker_process import WorkerProcess
from lossweep.search.study.faults import FaultKind
from tests.search.running.test_dispatcher import Conductor


class Watch:
    """An `IdleWatch` that only counts."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def idle(self, waiting: int) -> None:
        self.heard.append(f"{waiting} wait")

    def busy(self) -> None:
        self.heard.append("busy")


def controller(statuses: dict[str, str], actors: int) -> Any:
    trials = [SimpleNamespace(trial_id=name, status=status) for name, status in statuses.items()]
    return SimpleNamespace(
        get_live_trials=lambda: trials, _actor_manager=SimpleNamespace(num_live_actors=actors)
    )


@pytest.fixture
def bridge(tmp_path: Path) -> TuneBridge:
    watch: Any = Watch()
    dispatcher = Dispatcher(Conductor())
    made = TuneBridge(dispatcher, lambda: 2, watch, RayWorkers(tmp_path, "here"))
    searcher = DispatchSearcher(made)
    assert searcher.suggest("x") is not None
    assert searcher.suggest("y") is not None
    return made


@pytest.mark.parametrize(
    ("statuses", "actors", "heard"),
    [
        ({"x": Trial.PENDING, "y": Trial.PENDING}, 0, "2 wait"),
        # A worker that loads its libraries and its data holds its resources, and waits for nobody.
        ({"x": Trial.PENDING, "y": Trial.PENDING}, 1, "busy"),
        ({"x": Trial.RUNNING, "y": Trial.PENDING}, 1, "busy"),
    ],
)
def test_trials_wait_for_resources_only_while_no_worker_holds_any(
    bridge: TuneBridge, statuses: dict[str, str], actors: int, heard: str
) -> None:
    DispatchScheduler(bridge).choose_trial_to_run(controller(statuses, actors))
    assert bridge.watch.heard == [heard]  # type: ignore[attr-defined]  # of the one above
    assert bridge.started == (Trial.RUNNING in statuses.values())


def test_an_attempt_is_awaited_from_when_a_worker_has_it_in_hand(bridge: TuneBridge, tmp_path: Path) -> None:
    scheduler, dispatcher = DispatchScheduler(bridge), bridge.dispatcher
    pending = controller({"x": Trial.PENDING, "y": Trial.PENDING}, 2)
    scheduler.choose_trial_to_run(pending)
    assert dispatcher.awaited == ()
    WorkerProcess.here().write(tmp_path, bridge.attempts["x"])  # it loads its data, and may hang in that
    scheduler.choose_trial_to_run(pending)
    assert [each.plan.number for each in dispatcher.awaited] == [0]
    # A worker that can't write where the driver reads is seen by Tune alone.
    scheduler.choose_trial_to_run(controller({"x": Trial.PENDING, "y": Trial.RUNNING}, 2))
    assert [each.plan.number for each in dispatcher.awaited] == [0, 1]


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        (
            "The actor died because its node has died. Node Id: 04ab\n"
            "\tthe actor's node was terminated unexpectedly: health check failed due to missing too many",
            FaultKind.NODE_LOST,
            "its machine went away (terminated unexpectedly)",
        ),
        (
            "The actor died because its node has died. Node Id: 04ab\n"
            "\tthe actor's node was preempted: drained",
            FaultKind.NODE_LOST,
            "its machine went away (preempted)",
        ),
        (
            "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR",
            FaultKind.WORKER_LOST,
            "the worker was lost (process 7 on 10.0.0.9)",
        ),
    ],
)
def test_a_machine_that_went_away_is_told_from_a_worker_that_died(
    said: str, kind: FaultKind, message: str, tmp_path: Path, bridge: TuneBridge
) -> None:
    lines = [
        "Failure # 1 (occurred at 2026-11-27)",
        "ray.exceptions.ActorDiedError: The actor died unexpectedly",
    ]
    lines += ["\tclass_name: Worker", "\tactor_id: 0a", "\tpid: 7", "\tip: 10.0.0.9", said]
    (tmp_path / "error.txt").write_text("\n".join(lines))
    lost: Any = SimpleNamespace(error_file=str(tmp_path / "error.txt"), trial_id="x")
    DispatchScheduler(bridge).on_trial_error(None, lost)
    fault = bridge.faults_of_lost["x"]
    assert (fault.kind, fault.message.startswith(message)) == (kind, True)


class Shared(Dispatcher):
    """A dispatcher whose sweep may hold so many slots."""

    share = 2

    def allowed(self, slots: int) -> int:
        return min(slots, self.share)


def test_a_sweep_gives_back_what_others_may_hold(tmp_path: Path) -> None:
    watch: Any = Watch()
    dispatcher = Shared(Conductor())
    bridge = TuneBridge(dispatcher, lambda: 4, watch, RayWorkers(tmp_path, "here"))
    searcher, scheduler = DispatchSearcher(bridge), DispatchScheduler(bridge)
    released: list[bool] = []
    tune = controller({"x": Trial.RUNNING, "y": Trial.RUNNING}, 2)
    tune._cleanup_cached_actors = lambda force_all: released.append(force_all)
    assert searcher.suggest("x") is not None
    scheduler.choose_trial_to_run(tune)
    assert not released
    assert searcher.suggest("y") is not None
    assert searcher.suggest("z") is None  # two of four are this sweep's
    scheduler.choose_trial_to_run(tune)
    assert released == [True]
    assert not bridge.yielded


def test_a_sweep_whose_turn_is_over_ends_its_search_and_its_actors(tmp_path: Path) -> None:
    watch: Any = Watch()
    dispatcher = Shared(Conductor())
    dispatcher.share = 0
    bridge = TuneBridge(dispatcher, lambda: 1, watch, RayWorkers(tmp_path, "here"))
    assert DispatchSearcher(bridge).suggest("x") == DispatchSearcher.FINISHED
    assert bridge.yielded
    looked: list[int] = []

    def look() -> int:
        looked.append(1)
        dispatcher.share = int(len(looked) > 1)
        return 1

    assert wait_for_turn(dispatcher, look, sleep=looked.append)
    assert len(looked) == 3
    dispatcher.share = 0
    dispatcher.stop.set("enough")
    assert not wait_for_turn(dispatcher, look)


def test_parallel_bounds_a_sweep_on_a_large_cluster(tmp_path: Path) -> None:
    watch: Any = Watch()
    bridge = TuneBridge(Dispatcher(Conductor()), lambda: 9, watch, RayWorkers(tmp_path, "here"), parallel=1)
    searcher = DispatchSearcher(bridge)
    assert searcher.suggest("x") is not None
    assert searcher.suggest("y") is None


def test_a_cluster_that_grows_is_used_as_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    now, nodes = [0.0], [{"Alive": True, "Resources": {"CPU": 2.0}}]
    monkeypatch.setattr(cluster._ray, "nodes", lambda: nodes)
    slots = GrowingSlots(TrialResources(1.0, 0.0), clock=lambda: now[0])
    assert slots() == 2
    nodes.append({"Alive": True, "Resources": {"CPU": 3.0}})
    assert slots() == 2
    now[0] += 10.0
    assert slots() == 5
    nodes.clear()
    now[0] += 10.0
    assert slots() == 1


def test_a_machine_that_the_cluster_does_not_miss_yet_is_knocked_at(
    tmp_path: Path, bridge: TuneBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray says of its workers that they are unavailable, and of the machine that it lives."""
    (tmp_path / "error.txt").write_text("Failure # 1\nThe actor 0a is unavailable: RpcError: Socket closed")
    lost: Any = SimpleNamespace(error_file=str(tmp_path / "error.txt"), trial_id="x")
    WorkerProcess.here("there").write(tmp_path, bridge.attempts["x"])
    kinds = []
    monkeypatch.setattr(workers._ray, "is_initialized", lambda: True)
    with socket.socket() as living:
        living.bind(("127.0.0.1", 0))
        living.listen()
        node = {"NodeID": "there", "Alive": True, "NodeManagerAddress": "127.0.0.1"}
        node |= {"NodeManagerPort": living.getsockname()[1]}
        for nodes in ([node], [], [{**node, "NodeManagerPort": 1}], [{**node, "Alive": False}]):
            monkeypatch.setattr(workers._ray, "nodes", lambda nodes=nodes: nodes)
            DispatchScheduler(bridge).on_trial_error(None, lost)
            kinds.append(bridge.faults_of_lost["x"].kind)
    assert kinds == [FaultKind.WORKER_LOST] * 2 + [FaultKind.NODE_LOST] * 2
