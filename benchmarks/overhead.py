"""What orchestration costs: trials/s and milliseconds an evaluation, with a trainer that does nothing.

    OMP_NUM_THREADS=1 python benchmarks/overhead.py [--trials 60] [--rounds 3] [--seconds 20] [--slots 2]

Lossweep (Ray Tune runner, conductor, ledger and study on SQLite, MLflow listener) against Ray Tune with
`OptunaSearch` (study on SQLite), FIFO scheduling and `MLflowLoggerCallback`, as usually wired: the same
trials, evaluations, metrics, slots and warm actors (`reuse_actors`), alternating in one process.
Start-up of Ray and a fresh MLflow database are left out of both; writing everything to MLflow is in both.
Then the same with trials of 20 s of computation: how much later does the next trial of a worker begin than
its computation took, with all that the driver does beside it?
And what the MLflow listener alone computes while such a sweep runs, each event written by itself against
those of some seconds written together: its processor time, which a busy machine changes little.
Prints Markdown tables with the median and the spread over the rounds.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import ray
from ray import tune

from lossweep.search.pruning import PruningSpec
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.task import TrainingTask
from lossweep.search.running.tune.environment import QUIET
from lossweep.search.running.tune.ray_process import RayProcess
from lossweep.search.running.tune.runner import TuneRunner
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.events import Event, SweepStarted, TrialEvaluated
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan

METRICS = ("ap", "max_f1", "precision", "recall", "f1", "tuned_precision", "tuned_recall", "tuned_f1")


@dataclass(frozen=True)
class Load:
    """What one epoch computes.

    Attributes:
        seconds: of its thread's computation; 0 is nothing at all.
        log: where each trial's worker and beginning are written, if anywhere.
    """

    seconds: float = 0.0
    log: Path | None = None

    def begin(self) -> None:
        """A trial begins."""
        if self.log is not None:
            with self.log.open("a") as lines:
                lines.write(f"{os.getpid()} {time.time()}\n")

    def epoch(self) -> None:
        """Compute, as torch does: outside of Python's lock."""
        if self.seconds:
            matrix, started = np.ones((128, 128)), time.thread_time()
            while time.thread_time() - started < self.seconds:
                matrix @ matrix


@dataclass(frozen=True)
class LoadTrainer:
    """Trains nothing, and reports as often as it is told."""

    load: Load

    def prepare(self) -> None:
        """Nothing is to be loaded."""

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Yield evaluations."""
        self.load.begin()
        for epoch in range(1, plan.epochs + 1):
            self.load.epoch()
            yield Evaluation(
                step=epoch,
                epoch=epoch,
                epochs=plan.epochs,
                phase=0,
                cycle=0,
                loss_name="none",
                learning_rate=1e-3,
                metrics=dict.fromkeys(METRICS, 0.5),
                finished=epoch == plan.epochs,
                phase_ended=epoch == plan.epochs,
                cycle_ended=epoch == plan.epochs,
            )


class LoadTrainable(tune.Trainable):
    """The same, as a class Trainable."""

    def setup(self, config: dict[str, Any], load: Load) -> None:
        """Begin."""
        self._epoch, self._load = 0, load

    def step(self) -> dict[str, Any]:
        """Report one evaluation."""
        if self._epoch == 0:
            self._load.begin()
        self._load.epoch()
        self._epoch += 1
        return {**dict.fromkeys(METRICS, 0.5), "done": self._epoch >= self.config["epochs"]}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin again."""
        self.config, self._epoch = new_config, 0
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing is to be kept."""

    def load_checkpoint(self, checkpoint: object) -> None:
        """Nothing is to be read."""


def lossweep(
    root: Path, trials: int, evaluations: int, load: Load, slots: int, *, process: RayProcess
) -> float:
    """Seconds of a whole sweep on a cluster that is up already."""
    spec = SweepSpec.model_validate(
        {
            "name": "overhead",
            "data": {"source": "scenes"},
            "space": {"preset": "focal"},
            "objective": {"use_case": "balanced"},
            "pruning": {"pruner": "none"},
            "budget": {"trials": trials, "epochs": evaluations},
            "resources": {"parallel": slots},
        }
    )
    from lossweep.dashboards.mlflow.tracking import MlflowListener

    workspace = Workspace(root, f"sqlite:///{root / 'lossweep.db'}", f"sqlite:///{root / 'mlflow.db'}")
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
    started = time.perf_counter()
    listener = MlflowListener(workspace.mlflow_uri, artifacts=workspace.artifacts)
    runner = TuneRunner(root, slots, process=process)
    task = TrainingTask(LoadTrainer(load), prior)
    history = run_sweep(spec, workspace, [listener], task=task, runner=runner)
    took = time.perf_counter() - started
    assert history.counts()["completed"] == trials, history.counts()
    assert all(len(trial.evaluations) == evaluations for trial in history.trials)
    return took


def space(trial: optuna.Trial, evaluations: int) -> dict[str, Any]:
    """As many parameters as the preset has."""
    trial.suggest_float("gamma", 0.0, 5.0)
    trial.suggest_float("alpha", 0.05, 0.95)
    trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True)
    return {"epochs": evaluations}


def usual_wiring(root: Path, trials: int, evaluations: int, load: Load, slots: int) -> float:
    """Seconds of the same with OptunaSearch and MLflowLoggerCallback."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search import ConcurrencyLimiter
    from ray.tune.search.optuna import OptunaSearch

    started = time.perf_counter()
    sampler = optuna.samplers.TPESampler(multivariate=True, group=True, seed=0)
    storage = optuna.storages.RDBStorage(f"sqlite:///{root / 'study.db'}")
    define = functools.partial(space, evaluations=evaluations)
    search = OptunaSearch(define, metric="tuned_f1", mode="max", sampler=sampler, storage=storage)
    callback = MLflowLoggerCallback(
        tracking_uri=f"sqlite:///{root / 'mlflow.db'}", experiment_name="overhead"
    )
    results = tune.Tuner(
        tune.with_resources(tune.with_parameters(LoadTrainable, load=load), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            num_samples=trials, search_alg=ConcurrencyLimiter(search, slots), reuse_actors=True
        ),
        run_config=tune.RunConfig(
            name="overhead",
            storage_path=str(root / "tune"),
            callbacks=[callback],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()
    took = time.perf_counter() - started
    assert len(results) == trials
    assert not results.num_errors
    return took


def fresh_workspace(template: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder with an MLflow database that is migrated already."""
    folder = tempfile.TemporaryDirectory()
    Path(folder.name, "mlflow.db").write_bytes(template.read_bytes())
    return folder


def periods(log: Path) -> list[float]:
    """Seconds from the beginning of a worker's trial to that of its next one, the first of each left out.

    Ray starts another worker where it does not reuse one; that one's first trial is left out as well.
    """
    begun: dict[str, list[float]] = {}
    for line in log.read_text().splitlines():
        worker, at = line.split()
        begun.setdefault(worker, []).append(float(at))
    return [after - before for each in begun.values() for before, after in pairwise(each[1:])]


def no_op(arguments: argparse.Namespace, template: Path) -> list[str]:
    """The table of trials that compute nothing."""
    took: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    few: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(arguments.rounds):
        for name, run in CONTENDERS.items():
            # Two lengths tell an evaluation's cost from a trial's.
            for evaluations, seconds in ((1, few), (arguments.evaluations, took)):
                with fresh_workspace(template) as root:
                    took_s = run(Path(root), arguments.trials, evaluations, Load(), arguments.slots)
                    seconds[name].append(took_s)
    lines = [
        f"{arguments.trials} trials of {arguments.evaluations} evaluations that compute nothing, "
        f"{arguments.slots} slot(s) on {os.cpu_count()} cores, "
        f"{arguments.rounds} rounds:",
        "",
        "| | trials/s, median (lowest to highest) | ms an evaluation |",
        "| --- | --- | --- |",
    ]
    for name in CONTENDERS:
        rates = sorted(arguments.trials / seconds for seconds in took[name])
        more = statistics.median(took[name]) - statistics.median(few[name])
        each = 1000 * more / (arguments.trials * (arguments.evaluations - 1))
        median = statistics.median(rates)
        lines.append(f"| {name} | {median:.2f} ({rates[0]:.2f} to {rates[-1]:.2f}) | {each:.1f} |")
    return lines


def loaded(arguments: argparse.Namespace, template: Path) -> list[str]:
    """The table of trials that compute for a while."""
    evaluations, whole = arguments.evaluations, arguments.seconds
    lines = [
        f"{arguments.loaded_trials} trials of {evaluations} evaluations and {whole:g} s of computation, "
        f"{arguments.slots} slot(s) on {os.cpu_count()} cores:",
        "",
        "| | s from trial to trial, median (lowest to highest) | orchestration |",
        "| --- | --- | --- |",
    ]
    for name, run in CONTENDERS.items():
        with fresh_workspace(template) as root:
            load = Load(whole / evaluations, Path(root) / "begun.log")
            run(Path(root), arguments.loaded_trials, evaluations, load, arguments.slots)
            found = sorted(periods(Path(root) / "begun.log"))
        median = statistics.median(found)
        span = f"{median:.2f} ({found[0]:.2f} to {found[-1]:.2f})"
        lines.append(f"| {name} | {span} | {(median - whole) / whole:.1%} |")
    return lines


class Recorder:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def handle(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def close(self) -> None:
        """Nothing is pending."""


def listening(arguments: argparse.Namespace, template: Path) -> list[str]:
    """The table of what the MLflow listener computes."""
    from lossweep.dashboards.mlflow.tracking import MlflowListener

    recorder, evaluations = Recorder(), arguments.evaluations
    history = simulate_sweep(
        trials=arguments.loaded_trials,
        epochs=evaluations,
        slots=arguments.slots,
        pruning=PruningSpec(pruner="none"),
        trainer=SimulatedTrainer(),
        listeners=[recorder],
    )
    begun = dataclasses.replace(history, trials=(), state=SweepState.RUNNING)
    told = [SweepStarted(begun), *recorder.events]
    count = sum(isinstance(event, TrialEvaluated) for event in told)
    pause = arguments.seconds / evaluations / arguments.slots
    lines = [
        f"{arguments.loaded_trials} trials of {evaluations} evaluations and {arguments.seconds:g} s, "
        f"{arguments.slots} slot(s): processor time of the MLflow listener:",
        "",
        "| events written together | ms an evaluation | of a core |",
        "| --- | --- | --- |",
    ]
    for gather, name in ((0.0, "none"), (10.0, "those of 10 s")):
        with fresh_workspace(template) as root:
            listener = MlflowListener(f"sqlite:///{root}/mlflow.db", report=None, gather=gather)
            used, started = time.process_time(), time.perf_counter()
            for event in told:
                if isinstance(event, TrialEvaluated):
                    time.sleep(pause)
                listener.handle(event)
            spent, took = time.process_time() - used, time.perf_counter() - started
            listener.close()
            assert not listener.pending + listener.dropped
        lines.append(f"| {name} | {1000 * spent / count:.1f} | {spent / took:.1%} |")
    return lines


CONTENDERS = {"lossweep": lossweep, "Ray Tune + OptunaSearch + MLflowLoggerCallback": usual_wiring}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--evaluations", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="of a trial that computes")
    parser.add_argument("--slots", type=int, default=2, help="trials at a time")
    parser.add_argument("--loaded-trials", type=int, default=12)
    parser.add_argument("--listener-alone", action="store_true", help="no sweeps, the MLflow listener alone")
    arguments = parser.parse_args()
    # A neighbour of this script is named as one of our packages.
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).parent.resolve()]
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    import mlflow

    os.environ.update(QUIET)
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "mlflow.db"
        mlflow.MlflowClient(tracking_uri=f"sqlite:///{template}").search_experiments()
        if arguments.listener_alone:
            print("\n".join(listening(arguments, template)), flush=True)
            return
        # The usual wiring runs on a cluster of this process's own; each idles while the other works.
        ray.init(address="local", include_dashboard=False, logging_level=logging.CRITICAL)
        with RayProcess(None, 1, Path(folder) / "ray.log") as process:
            CONTENDERS["lossweep"] = functools.partial(lossweep, process=process)
            with fresh_workspace(template) as root:
                CONTENDERS["lossweep"](Path(root), 2, 1, Load(), 2)  # starts it
            if arguments.rounds:
                print("\n".join(["", *no_op(arguments, template)]), flush=True)
            if arguments.loaded_trials:
                print("\n".join(["", *loaded(arguments, template)]), flush=True)
        if arguments.loaded_trials:
            print("\n".join(["", *listening(arguments, template)]), flush=True)


if __name__ == "__main__":
    main()
