"""Reports of Optuna's and Ray Tune's users, on simulated trainings through the real driver and database."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from small_sweeps import spec, task, workspace

from lossweep import Sweep
from lossweep.search.ledger.journal import SweepJournal
from lossweep.search.running.driver import run_sweep
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.simulation.training_log import TrainingLog
from lossweep.search.study.events import Event, TrialEvaluated
from lossweep.search.study.faults import SweepFailed
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.metric_names import higher_is_better
from tests.dying import die_at, run_until_killed

TRIALS, DIVERGED, OUT_OF_MEMORY = 7, 3, 2


def frozen(root: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials as Optuna's own storage has them."""
    return optuna.load_study(study_name="small", storage=f"sqlite:///{root / 'lossweep.db'}").trials


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def ended(root: Path) -> SweepHistory:
    """A whole sweep: one trial diverges, one runs out of memory, one raises."""
    work = task(root / "work", {1: "exception", OUT_OF_MEMORY: "memory", DIVERGED: "diverge"})
    return run_sweep(spec(), workspace(root), task=work, on_signal=False)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> SweepHistory:
    root = tmp_path_factory.mktemp("uninterrupted")
    return run_sweep(spec(), workspace(root), task=task(root / "work"), on_signal=False)


def drive_to_the_third_trial(root: Path) -> None:
    """In a process of its own."""
    die_at(SweepJournal, "record", 10, "after")
    run_sweep(spec(), workspace(root), task=task(root / "work"))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SweepHistory]:
    """A sweep whose driver was killed in its third trial, taken up by another driver."""
    root = tmp_path_factory.mktemp("killed")
    run_until_killed(drive_to_the_third_trial, root)
    assert TrialState.RUNNING in [trial.state for trial in frozen(root)], "as the dead driver left it"
    work = task(root / "work")
    return root, run_sweep(spec(), workspace(root), resume=True, task=work, on_signal=False)


class During:
    """Does something at one evaluation."""

    def __init__(self, at: int, do: Callable[[], None]) -> None:
        self.left, self.do = at, do

    def handle(self, event: Event) -> None:
        self.left -= isinstance(event, TrialEvaluated)
        if isinstance(event, TrialEvaluated) and self.left == 0:
            self.do()

    def close(self) -> None:
        pass


def test_a_trial_that_diverges_ends_alone(ended: SweepHistory) -> None:
    assert ended.state == "finished"
    assert ended.trials[DIVERGED].outcome is OutcomeKind.DIVERGED
    assert [trial.outcome.value for trial in ended.trials[4:]] == ["completed"] * 3


def test_what_is_not_finite_never_reaches_the_study(ended: SweepHistory, root: Path) -> None:
    for trial in frozen(root):
        values = [*(trial.values or ()), *trial.intermediate_values.values()]
        assert all(math.isfinite(value) for value in values)


def test_no_trial_is_left_running(ended: SweepHistory, root: Path) -> None:
    states = [trial.state for trial in frozen(root)]
    assert states == [trial.outcome.optuna_state for trial in ended.trials]
    assert TrialState.RUNNING not in states


def test_a_trial_that_diverged_says_why_and_with_which_parameters(ended: SweepHistory) -> None:
    trial = ended.trials[DIVERGED]
    assert "AP fell to" in trial.reason
    assert trial.schedule.phases[0].learning_rate > 0
    assert trial.decisions[-1].action == "diverge"


def test_a_diverged_trial_is_told_as_pruned_with_its_curve(ended: SweepHistory, root: Path) -> None:
    told = frozen(root)[DIVERGED]
    assert told.state is TrialState.PRUNED
    assert len(told.intermediate_values) == len(ended.trials[DIVERGED].evaluations) > 0


def test_what_a_pruner_stops_is_pruned_in_every_count() -> None:
    history = simulate_sweep(40, seed=1)
    pruned = [trial for trial in history.trials if trial.outcome is OutcomeKind.PRUNED]
    assert len(pruned) > 3
    assert history.counts()["pruned"] == len(pruned)
    assert all(trial.outcome.optuna_state is TrialState.PRUNED for trial in pruned)
    assert all(trial.reason and trial.evaluations for trial in pruned)


def test_a_trial_out_of_memory_is_tried_again_with_less_and_no_other_is_touched(ended: SweepHistory) -> None:
    trial = ended.trials[OUT_OF_MEMORY]
    assert trial.outcome is OutcomeKind.COMPLETED
    (again,) = [decision for decision in trial.decisions if decision.action == "retry"]
    assert "micro-batch of 4" in again.reason


def test_a_sweep_that_failed_at_once_can_go_on(tmp_path: Path) -> None:
    where = workspace(tmp_path)
    broken = task(tmp_path / "work", dict.fromkeys(range(TRIALS), "exception"))
    with pytest.raises(SweepFailed, match="failed alike"):
        run_sweep(spec(), where, task=broken, on_signal=False)
    mended = task(tmp_path / "work")
    history = run_sweep(spec(), where, resume=True, retry_failed=True, task=mended, on_signal=False)
    assert history.state == "finished"
    assert history.counts()["completed"] == TRIALS


def test_a_killed_driver_s_trials_are_taken_up(killed: tuple[Path, SweepHistory]) -> None:
    root, history = killed
    assert {trial.outcome for trial in history.trials} == {OutcomeKind.COMPLETED}
    assert TrialState.RUNNING not in [trial.state for trial in frozen(root)]


def test_the_budget_counts_what_was_done_before(killed: tuple[Path, SweepHistory]) -> None:
    assert [trial.number for trial in killed[1].trials] == list(range(TRIALS))


def test_what_is_finished_is_not_trained_again(killed: tuple[Path, SweepHistory]) -> None:
    assert TrainingLog(killed[0] / "work").trained_needlessly() == []


def test_a_resumed_sampler_proposes_as_if_never_stopped(
    killed: tuple[Path, SweepHistory], uninterrupted: SweepHistory
) -> None:
    assert [trial.schedule for trial in killed[1].trials] == [t.schedule for t in uninterrupted.trials]


def test_the_same_seed_proposes_the_same_whatever_runs_beside() -> None:
    one, other = (simulate_sweep(24, seed=5, slots=4) for _ in range(2))
    assert [trial.schedule for trial in one.trials] == [trial.schedule for trial in other.trials]
    assert [trial.score for trial in one.trials] == [trial.score for trial in other.trials]
    another = simulate_sweep(24, seed=6, slots=4)
    assert [trial.schedule for trial in one.trials] != [trial.schedule for trial in another.trials]


@pytest.mark.parametrize(("metric", "direction"), [("recall", "maximize"), ("count_error", "minimize")])
def test_the_direction_is_the_metric_s_own(metric: str, direction: str) -> None:
    objective = spec(objective={"metric": metric}).objective
    assert objective.directions == (direction,)
    assert higher_is_better(metric) is (direction == "maximize")


def test_a_changed_space_is_refused_before_anything_is_written(ended: SweepHistory, root: Path) -> None:
    changed = spec(space={"preset": "cycling"})
    with pytest.raises(UserError, match="space"):
        run_sweep(changed, workspace(root), resume=True, task=task(root / "work"), on_signal=False)
    assert len(frozen(root)) == len(ended.trials)


def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    locked, unlocked = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(tmp_path / "lossweep.db", isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            locked.set()
            unlocked.wait(0.7)
            other.execute("ROLLBACK")

    def lock() -> None:
        threading.Thread(target=hold).start()
        assert locked.wait(30)

    work = task(tmp_path / "work")
    history = run_sweep(spec(), workspace(tmp_path), [During(5, lock)], task=work, on_signal=False)
    assert history.counts()["completed"] == TRIALS


def test_looking_at_a_running_sweep_disturbs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOSSWEEP_DATABASE", raising=False)
    seen: list[Sweep] = []
    look = During(6, lambda: seen.append(Sweep.load("small", tmp_path)))
    history = run_sweep(spec(), workspace(tmp_path), [look], task=task(tmp_path / "work"), on_signal=False)
    assert history.counts()["completed"] == TRIALS
    assert (seen[0].state, len(seen[0].history.trials)) == ("running", 2)
