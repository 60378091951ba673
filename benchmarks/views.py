"""How fast the dashboards are: the report of 500 trials, and whether MLflow's listener keeps up.

    python benchmarks/views.py [--trials 500] [--logged 40]

Prints seconds and megabytes of the report; microseconds a trial waits per event (the listener queues); and
evaluations a second that the listener writes to SQLite and to an MLflow server, against what trials produce.
(Not named dashboards.py: a script shadows a package of its own name.)
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from lossweep.dashboards.mlflow.tracking import MlflowListener, sync
from lossweep.dashboards.report.build import build_report
from lossweep.dashboards.serving.dashboard import start_dashboard
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.events import (
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEvaluated,
    TrialStarted,
)
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind


def events(sweep: SweepHistory) -> list[Event]:
    """What a driver tells of a sweep."""
    told: list[Event] = [SweepStarted(replace(sweep, trials=(), state="running"))]
    for trial in sweep.trials:
        told.append(
            TrialStarted(replace(trial, evaluations=(), outcome=OutcomeKind.RUNNING, score=None, ended=None))
        )
        told += [
            TrialEvaluated(trial.number, e, DecisionRecord(e.step, Decision.CONTINUE, ""))
            for e in trial.evaluations
        ]
        told.append(TrialEnded(trial))
    return [*told, SweepEnded(sweep)]


def report(sweep: SweepHistory) -> None:
    """Time and size of the report."""
    build_report(sweep)  # reads plotly.js once
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        page = build_report(sweep)
        spent.append(time.perf_counter() - began)
    size = len(page.encode()) / 1e6
    print(
        f"report of {len(sweep.trials)} trials: {statistics.median(spent):.2f} s "
        f"(from {min(spent):.2f} to {max(spent):.2f}), {size:.2f} MB"
    )


def logging(sweep: SweepHistory, uri: str, name: str) -> None:
    """What a trial waits for the listener, and how fast the listener writes."""
    listener = MlflowListener(uri, report=None, patience=600)
    told = events(sweep)
    listener.handle(told[0])
    while listener.pending:  # the connection is made once a sweep
        time.sleep(0.01)
    waits = []
    began = time.perf_counter()
    for event in told[1:]:
        start = time.perf_counter()
        listener.handle(event)
        waits.append(time.perf_counter() - start)
    listener.close()
    took = time.perf_counter() - began
    evaluations = sum(len(trial.evaluations) for trial in sweep.trials)
    waits.sort()
    print(
        f"{name}: {evaluations / took:.1f} evaluations/s written "
        f"({len(sweep.trials)} trials in {took:.1f} s); "
        f"a trial waits {1e6 * statistics.median(waits):.0f} us an event, "
        f"p99 {1e6 * waits[int(0.99 * len(waits))]:.0f} us; dropped {listener.dropped}"
    )


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=500, help="of the report")
    parser.add_argument("--logged", type=int, default=40, help="trials written to MLflow")
    chosen = parser.parse_args()
    report(simulate_sweep(trials=chosen.trials, seed=1, epochs=30))
    logged = simulate_sweep(trials=chosen.logged, seed=2)
    with tempfile.TemporaryDirectory(prefix="lossweep-benchmark-", ignore_cleanup_errors=True) as folder:
        uri = f"sqlite:///{Path(folder) / 'mlflow.db'}"
        sync(replace(logged, name="first", trials=()), uri, report=None)  # migrates the store
        logging(logged, uri, "SQLite")
        began = time.perf_counter()
        changed = sync(logged, uri, report=None)
        print(
            "sync of what is there, every value read back: "
            f"{time.perf_counter() - began:.1f} s, {changed} changed"
        )
        with start_dashboard(lambda: logged, uri, port=0, report=lambda history: "") as dashboard:
            logging(replace(logged, name="served"), dashboard.mlflow.partition("/#")[0], "MLflow server")


if __name__ == "__main__":
    main()
