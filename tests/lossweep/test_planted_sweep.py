"""A sweep in which everything goes wrong: study, ledger, MLflow and command line agree on every trial."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from lossweep.dashboards.mlflow.tracking import MlflowListener
from lossweep.search.ledger import Attempt, Ledger
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.task import TrainingTask
from lossweep.search.study.faults import FaultKind
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from tests.lossweep.planted_faults import PRIOR, FaultyTrainer

pytestmark = pytest.mark.slow

NAME = "planted"
TRIALS = 14

PLANTED = {
    1: "exception",
    2: "memory",
    3: "nan",
    4: "killed",
    6: "collapse",
    7: "no memory",
    9: "killed again",
    12: "poor",
}
"""What goes wrong with which trial: controls (0 to 4) and proposals alike; nothing with the others."""

DUE: dict[str, tuple[OutcomeKind, TrialState, str, str, list[FaultKind | None]]] = {
    "": (OutcomeKind.COMPLETED, TrialState.COMPLETE, "FINISHED", "whole budget", [None]),
    "exception": (
        OutcomeKind.FAILED,
        TrialState.FAIL,
        "FAILED",
        "IndexError: class 7 is out of bounds",
        [FaultKind.EXCEPTION],
    ),
    "memory": (
        OutcomeKind.COMPLETED,
        TrialState.COMPLETE,
        "FINISHED",
        "whole budget",
        [FaultKind.OUT_OF_MEMORY, None],
    ),
    "no memory": (
        OutcomeKind.FAILED,
        TrialState.FAIL,
        "FAILED",
        "OutOfMemory: no memory for a micro-batch of 4",
        [FaultKind.OUT_OF_MEMORY] * 2,
    ),
    "killed": (
        OutcomeKind.COMPLETED,
        TrialState.COMPLETE,
        "FINISHED",
        "whole budget",
        [FaultKind.WORKER_LOST, None],
    ),
    "killed again": (
        OutcomeKind.FAILED,
        TrialState.FAIL,
        "FAILED",
        "the worker was lost",
        [FaultKind.WORKER_LOST] * 2,
    ),
    "nan": (OutcomeKind.DIVERGED, TrialState.PRUNED, "FINISHED", "non_finite: ", [None]),
    "collapse": (OutcomeKind.DIVERGED, TrialState.PRUNED, "FINISHED", "all_background: ", [None]),
    "poor": (OutcomeKind.PRUNED, TrialState.PRUNED, "FINISHED", "ap: rank ", [None]),
}
"""How each has to end: outcome, Optuna state, MLflow status, words of the reason, faults of its attempts."""

SPEC = {
    "name": NAME,
    "seed": 3,
    "data": {"source": "scenes"},
    "training": {"batch": 8},
    "space": {"preset": "single"},
    "objective": {"use_case": "balanced"},
    "guards": {"all_background": {"warm_up": 30}},
    "pruning": {"rungs": [0.25], "min_peers": 3, "audit": 0.0},
    "sampler": {"sampler": "random"},
    "budget": {"trials": TRIALS, "epochs": 4},
    "resources": {"runner": "tune", "parallel": 2, "max_failures": 1},
}


@dataclass(frozen=True)
class Told:
    """What each of the four says of every trial, by number, and the counts on the command line."""

    study: dict[int, optuna.trial.FrozenTrial]
    ledger: dict[int, OutcomeKind]
    attempts: dict[int, list[Attempt]]
    runs: dict[int, tuple[str, dict[str, str]]]
    sweep_run: str
    stories: dict[int, str]
    status: str
    listed: str
    doctor: str


TELL = """
import sys
from lossweep.__main__ import main

for words in sys.argv[1:]:
    sys.argv = ["lossweep", *words.split()]
    print("$", words, flush=True)
    try:
        main()
    except SystemExit as end:
        assert not end.code, (words, end.code)
"""


def command_line(root: Path, *commands: str) -> list[str]:
    """What a process of its own answers to each command line."""
    environment = os.environ | {"LOSSWEEP_HOME": str(root), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", TELL, *commands], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    answers = re.split(r"^\$ .*\n", run.stdout, flags=re.MULTILINE)[1:]
    assert len(answers) == len(commands)
    return answers


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    root = tmp_path_factory.mktemp("planted") / "runs"
    root.mkdir()
    workspace = Workspace(root, f"sqlite:///{root / 'lossweep.db'}", f"sqlite:///{root / 'mlflow.db'}")
    work = TrainingTask(FaultyTrainer(root / "work", PLANTED), PRIOR, "sha256:0")
    listener = MlflowListener(workspace.mlflow_uri, artifacts=workspace.artifacts, report=None)
    run_sweep(SweepSpec.model_validate(SPEC), workspace, [listener], task=work)

    study = optuna.load_study(study_name=NAME, storage=workspace.database_url)
    ledger = Ledger(workspace.database_url)
    history = ledger.history(NAME)
    attempts = {n: list(ledger.attempts(ledger.sweep(NAME).id, n)) for n in range(TRIALS)}
    ledger.close()
    client = MlflowClient(tracking_uri=workspace.mlflow_uri)
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    by_number = {
        int(run.data.tags["lossweep.trial"]): (run.info.status, dict(run.data.tags)) for run in children
    }
    assert len(by_number) == len(children), "a trial has two runs"
    asked = [f"why {NAME} {number}" for number in range(TRIALS)]
    *stories, status, listed, doctor = command_line(root, *asked, f"status {NAME}", "list", f"doctor {NAME}")
    return Told(
        {trial.number: trial for trial in study.trials},
        {trial.number: trial.outcome for trial in history.trials},
        attempts,
        by_number,
        parent.info.status,
        dict(enumerate(stories)),
        status,
        listed,
        doctor,
    )


def test_all_tell_of_the_same_trials_and_nothing_runs(told: Told) -> None:
    every = list(range(TRIALS))
    assert sorted(told.study) == sorted(told.ledger) == sorted(told.runs) == every
    assert not {TrialState.RUNNING, TrialState.WAITING} & {one.state for one in told.study.values()}
    assert "RUNNING" not in {told.sweep_run, *(status for status, _ in told.runs.values())}
    assert not {OutcomeKind.RUNNING, OutcomeKind.INTERRUPTED} & set(told.ledger.values())
    assert all(attempt.ended for attempts in told.attempts.values() for attempt in attempts)
    assert told.doctor == "all is well\n"


@pytest.mark.parametrize("number", range(TRIALS))
def test_each_trial_ends_as_it_has_to_and_all_four_say_so(told: Told, number: int) -> None:
    outcome, state, status, reason, faults = DUE[PLANTED.get(number, "")]
    assert told.study[number].state is state
    assert told.ledger[number] is outcome
    run_status, tags = told.runs[number]
    assert (run_status, tags["outcome"]) == (status, outcome.value)
    assert reason in tags["reason"]
    story = told.stories[number]
    assert re.match(rf"Trial {number}\s+{outcome.value}\s*\n", story)
    said = re.search(r"^\s*reason\s+(.*)", story, re.MULTILINE)
    assert said is not None
    assert reason in said.group(1)
    assert [attempt.fault for attempt in told.attempts[number]] == faults
    assert re.findall(r"worker_lost|out_of_memory|exception", story.partition("Attempts")[2].lower())[
        : len([one for one in faults if one])
    ] == [one.value for one in faults if one]
    assert ("Traceback" in story) == (outcome is OutcomeKind.FAILED and "worker" not in reason)


def test_what_is_behind_each_end_is_kept(told: Told) -> None:
    by_fault = {fault: number for number, fault in PLANTED.items()}
    for fault in ("nan", "collapse"):
        trial = told.study[by_fault[fault]]
        assert trial.constraints, "the sampler learns of it"
        assert max(trial.constraints.values()) > 0
    pruned = told.study[by_fault["poor"]]
    assert list(pruned.intermediate_values.values()) == [0.05]
    assert all(value == value for one in told.study.values() for value in one.intermediate_values.values())
    assert told.attempts[by_fault["memory"]][1].micro_batch == 4


def test_the_counts_on_the_command_line_are_those_of_all_three(told: Told) -> None:
    due = Counter(DUE[PLANTED.get(number, "")][0].value for number in range(TRIALS))
    assert due == {"completed": 8, "failed": 3, "diverged": 2, "pruned": 1}
    assert Counter(outcome.value for outcome in told.ledger.values()) == due
    assert Counter(tags["outcome"] for _, tags in told.runs.values()) == due
    states = Counter(one.state.name for one in told.study.values())
    assert states == {"COMPLETE": due["completed"], "FAIL": due["failed"], "PRUNED": 3}
    for text in (told.status, told.listed):
        counted = re.findall(r"(\d+) (completed|pruned|diverged|failed|running|interrupted)\b", text)
        assert {kind: int(count) for count, kind in counted} == due
        assert f"{TRIALS}/{TRIALS}" in text
        assert "finished" in text
