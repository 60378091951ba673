"""Ray workers killed or hanging, a private cluster's processes killed, and a node of a cluster lost."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
from pathlib import Path

import psutil
from faults_sweep import AtEvaluation, Row, again, judged, spec, task, told, workspace

from lossweep.search.running.driver import run_sweep
from lossweep.search.running.tune import host
from lossweep.search.running.tune.session import processes_of
from lossweep.search.simulation.training_log import TrainingLog


def killed_workers(kills: int = 4) -> Row:
    """SIGKILL the worker that trained last, every few seconds."""
    trials, epochs, dice, done = 16, 6, random.Random(2), 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        where, over = workspace(root), threading.Event()

        def kill() -> None:
            nonlocal done
            while not over.wait(dice.uniform(2.0, 4.0)) and done < kills:
                trained = [e for e in TrainingLog(root / "work").entries() if e.deed == "trained"]
                if trained:
                    try:
                        os.kill(trained[-1].pid, signal.SIGKILL)
                        done += 1
                    except ProcessLookupError:
                        pass

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            sweep = spec(trials, epochs, "tune", max_failures=kills)
            run_sweep(sweep, where, task=task(root / "work", 0.5, 0.03))
        finally:
            over.set()
            thread.join()
        history, wrong = judged(where, trials, epochs)
        retries = sum(d.action == "retry" for t in history.trials for d in t.decisions)
        if done < kills or not retries:
            wrong.append("too few were killed")
        result = (
            f"{done} kills, {retries} retries: {told(history)},"
            f" {again(where)} epochs trained again, none that was saved"
        )
        return Row("`kill -9` of Ray workers", result, tuple(wrong))


def killed_cluster(kills: int = 4) -> Row:
    """SIGKILL the private cluster's raylet and its GCS, in turn, in mid-sweep."""
    trials, epochs = 12, 6
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        where, sessions = workspace(root), set[int]()

        def kill() -> None:
            [running] = [c for c in psutil.Process().children() if host.__name__ in c.cmdline()]
            sessions.add(running.pid)
            wanted = ("raylet", "gcs_server")[len(sessions) % 2]
            next(part for part in running.children() if part.name() == wanted).kill()

        listeners = [AtEvaluation(6 + 12 * n, kill) for n in range(kills)]
        run_sweep(spec(trials, epochs, "tune"), where, listeners, task=task(root / "work", 0.3, 0.03))
        history, wrong = judged(where, trials, epochs)
        retries = sum(d.action == "retry" for t in history.trials for d in t.decisions)
        if len(sessions) < kills or not retries:
            wrong.append("too few were killed")
        left = [pid for session in sessions for pid in processes_of(session)]
        wrong += [f"{len(left)} processes of lost clusters were left"] * bool(left)
        result = (
            f"{kills} kills, {retries} trials resumed on fresh clusters: {told(history)},"
            f" {again(where)} epochs trained again, none that was saved; no process left"
        )
        return Row("`kill -9` of the raylet and of Ray's GCS", result, tuple(wrong))


def hung_workers() -> Row:
    """Let three workers hang, each in its own way, under a limit of seconds."""
    trials, epochs, limit = 8, 6, 6.0
    planted = {1: "sleep", 3: "loop", 5: "stop"}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        where = workspace(root)
        sweep = spec(trials, epochs, "tune", pauses=False, evaluation_minutes=limit / 60.0)
        run_sweep(sweep, where, task=task(root / "work", 0.2, 0.03, planted))
        history, wrong = judged(where, trials, epochs)
        retries = {t.number: [d.reason for d in t.decisions if d.action == "retry"] for t in history.trials}
        hung = sorted(number for number, reasons in retries.items() if reasons)
        if hung != sorted(planted) or any(len(reasons) > 1 for reasons in retries.values()):
            wrong.append(f"tried again were {retries}")
        if not all("evaluation_minutes" in reason for reasons in retries.values() for reason in reasons):
            wrong.append("a retry does not say why")
        result = (
            f"one sleeps, one loops, one is stopped; given up after {limit:g} s each and tried again:"
            f" {told(history)}, {again(where)} epochs trained again,"
            " none that was saved"
        )
        return Row("Ray workers that hang, `resources.evaluation_minutes`", result, tuple(wrong))


def lost_node() -> Row:
    """Take one of two nodes away in mid-sweep."""
    from ray.cluster_utils import Cluster

    trials, epochs = 8, 6
    os.environ["RAY_AUTH_MODE"] = "disabled"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        where = workspace(root)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()

        def lose() -> None:
            threading.Thread(target=lambda: cluster.remove_node(node, allow_graceful=False)).start()

        try:
            sweep = spec(trials, epochs, "tune")
            work = task(root / "work", 0.5, 0.03)
            run_sweep(sweep, where, [AtEvaluation(6, lose)], task=work, cluster=cluster.address)
        finally:
            cluster.shutdown()
            os.environ.pop("RAY_AUTH_MODE")
        history, wrong = judged(where, trials, epochs)
        retries = sum(d.action == "retry" for t in history.trials for d in t.decisions)
        if not retries:
            wrong.append("no trial was resumed")
        result = (
            f"{retries} resumed: {told(history)}, {again(where)} epochs trained again, none that was saved"
        )
        return Row("a node of two lost, Ray cluster on this machine", result, tuple(wrong))
