"""The sweep that meets the faults, and what must be true of it afterwards."""

from __future__ import annotations

import functools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lossweep.dashboards.mlflow.content import safe_key
from lossweep.dashboards.mlflow.tracking import sync
from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.task import TrainingTask
from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.search.simulation.training_log import TrainingLog
from lossweep.search.study.decisions import Decision
from lossweep.search.study.events import Event, TrialEvaluated
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation

NAME = "faults"
PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    fault: str
    result: str
    wrong: tuple[str, ...] = ()
    ran: bool = True

    def __str__(self) -> str:
        holds = "**NO**" if self.wrong else "yes" if self.ran else "not run"
        return f"| {self.fault} | {'; '.join([self.result, *self.wrong])} | {holds} |"


def spec(trials: int, epochs: int, runner: str, pauses: bool = True, **resources: Any) -> SweepSpec:
    """A sweep that proposes at random, controls too, so that a seed says what an unkilled one would propose.

    Its trials have one seed and share what they begin with; its rungs pause them, unless told not to.
    """
    return SweepSpec.model_validate(
        {
            "name": NAME,
            "seed": 5,
            "data": {"source": "scenes"},
            "space": {"preset": "cycling"},
            "objective": {"use_case": "balanced"},
            "pruning": {"pruner": "rungs" if pauses else "none"},
            "sampler": {"sampler": "random"},
            "controls": {"sampler": {"sampler": "random"}, "named": []},
            "budget": {"trials": trials, "epochs": epochs},
            "resources": {"runner": runner, **resources},
        }
    )


def workspace(root: Path, url: str | None = None, mlflow: str | None = None) -> Workspace:
    """A workspace of its own; by default both stores are SQLite files in it."""
    return Workspace(
        root, url or f"sqlite:///{root / 'lossweep.db'}", mlflow or f"sqlite:///{root / 'mlflow.db'}"
    )


def task(
    folder: Path, delay: float, writing: float = 0.0, planted: Mapping[int, str] | None = None
) -> TrainingTask:
    """Simulated training: ``delay`` seconds an epoch, ``writing`` seconds a checkpoint; planted faults."""
    return TrainingTask(PlantedTrainer(folder, delay, planted or {}, writing=writing), PRIOR, "sha256:0")


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


@functools.cache
def unhurt(trials: int, epochs: int) -> SweepHistory:
    """The same trials, to which nothing happens, not even a pause."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sweep = spec(trials, epochs, "inline", pauses=False)
        return run_sweep(sweep, workspace(root), task=task(root / "work", 0.0))


def judged(where: Workspace, trials: int, epochs: int) -> tuple[SweepHistory, list[str]]:
    """The sweep as its database has it, and what is wrong with it; nothing, it is hoped.

    Whom a rung pauses depends on who came first, so that faults may change it; what a trial reports they may
    not.
    """
    ledger = Ledger(where.database_url)
    history = ledger.history(NAME)
    states = [t.state for t in ledger.storage.get_all_trials(ledger.storage.get_study_id_from_name(NAME))]
    ledger.close()
    wrong = []
    if ended(history) != trials:
        wrong.append(f"{history.counts()}")
    if [t.number for t in history.trials] != list(range(trials)):
        wrong.append("the trials are not 0 to N-1")
    if states != [trial.outcome.optuna_state for trial in history.trials]:
        wrong.append(f"Optuna counts {Counter(s.name for s in states)}")
    same = unhurt(trials, epochs).trials
    if [(t.schedule, t.seed) for t in history.trials] != [(t.schedule, t.seed) for t in same]:
        wrong.append("other schedules than a sweep to which nothing happened")
    for trial, unstopped in zip(history.trials, same, strict=True):
        reported, whole = _figures(trial), _figures(unstopped)
        if reported != (whole if trial.outcome is OutcomeKind.COMPLETED else whole[: len(reported)]):
            wrong.append(f"trial {trial.number}: other evaluations than where nothing happened")
        newest = trial.decisions[-1].action if trial.decisions else None
        if trial.outcome is OutcomeKind.PRUNED and newest is not Decision.PRUNE:
            wrong.append(f"trial {trial.number} was pruned, and no decision says so")
    return history, wrong + some(TrainingLog(where.root / "work").trained_needlessly())


def ended(history: SweepHistory) -> int:
    """How many trials have ended as they should: completed, or held back by a rung to the end."""
    counts = history.counts()
    return counts["completed"] + counts["pruned"]


def told(history: SweepHistory) -> str:
    """What became of a sweep's trials, in words."""
    taken = [decision.action for trial in history.trials for decision in trial.decisions]
    pauses = f"{taken.count(Decision.PAUSE)} pauses, {taken.count(Decision.THAW)} thawed"
    shared = f"{history.epochs.shared} epochs shared"
    return f"{ended(history)} of {len(history.trials)} trials ({pauses}, {shared})"


def _figures(trial: TrialHistory) -> list[Evaluation]:
    """What a trial reported, less who trained it: of two that begin alike, that may be either."""
    return [replace(each, seconds=0.0, spent={}, trained_by=None) for each in trial.evaluations]


def again(where: Workspace) -> int:
    """Epochs trained more than once, by any trial: such as no checkpoint held, else `judged` names them."""
    done = [entry.prefix for entry in TrainingLog(where.root / "work").entries() if entry.deed == "trained"]
    return len(done) - len(set(done))


def mlflow_wrong(where: Workspace, history: SweepHistory) -> list[str]:
    """Compare every number in MLflow with the ledger: read back here, and as ``lossweep sync`` does."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=where.mlflow_uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=5000)
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    wrong = []
    numbers = sorted(int(run.data.tags["lossweep.trial"]) for run in children)
    if numbers != [t.number for t in history.trials]:
        wrong.append(f"MLflow has {len(children)} child runs of {len(set(numbers))} trials")
    if len(runs) != len(children) + 1:
        wrong.append(f"MLflow has {len(runs) - len(children)} runs that are no trial's")
    for run in children:
        trial = history.trials[int(run.data.tags["lossweep.trial"])]
        if run.info.status != "FINISHED":
            wrong.append(f"trial {trial.number} is {run.info.status} in MLflow")
        for name in sorted({name for evaluation in trial.evaluations for name in evaluation.metrics}):
            held = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, safe_key(name))]
            if sorted(held) != [(e.step, e.metrics[name]) for e in trial.evaluations if name in e.metrics]:
                wrong.append(f"trial {trial.number}: {name} in MLflow is not the ledger's")
    if changed := sync(history, where.mlflow_uri, report=None):
        wrong.append(f"sync had to change {changed} runs")
    return some(wrong)


def some(lines: Iterable[str], most: int = 3) -> list[str]:
    """The first few, and how many more there are."""
    every = list(lines)
    return every[:most] + ([f"and {len(every) - most} more"] if len(every) > most else [])
