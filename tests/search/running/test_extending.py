"""A trial is given more epochs: only those are trained, and the search stands as it did."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest

from lossweep.dashboards.extensions import extension_sentences
from lossweep.search.conducting.settings import ExtendSettings
from lossweep.search.exporting.choice import choose
from lossweep.search.exporting.support import doubt
from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.existing import existing_sweep
from lossweep.search.running.stopping import StopRequest
from lossweep.search.simulation.training_log import TrainingLog
from lossweep.search.study.events import Event, TrialEvaluated
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.sweep_state import StopKind, SweepState
from lossweep.search.upkeep.checkpoints import needed_trials
from lossweep.search.upkeep.export import export_best
from tests.search.small_sweeps import spec, task, workspace

TRIALS, EPOCHS, MORE = 3, 4, 9


def drive(root: Path, trial: int | None = None, **options: Any) -> SweepHistory:
    """Run the sweep, or extend a trial of it."""
    planted, trials = options.pop("planted", None), options.pop("trials", TRIALS)
    controls = {"named": [], "shapes": ["constant"], "at_least": 1}
    sweep = spec(trials=trials, epochs=EPOCHS, controls=controls, space={"preset": "focal"})
    asked = None if trial is None else ExtendSettings(trial, MORE)
    options = {"resume": asked is not None, "on_signal": False, **options}
    return run_sweep(sweep, workspace(root), task=task(root / "work", planted), extend=asked, **options)


def trained(root: Path, number: int) -> list[int]:
    """The epochs that a trial trained, in order."""
    entries = TrainingLog(root / "work").entries()
    return [each.epoch for each in entries if (each.deed, each.trial) == ("trained", number)]


Made = tuple[Path, SweepHistory]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A sweep that is over, of which the control has a rate that keeps its height."""
    root = tmp_path_factory.mktemp("finished")
    return root, drive(root)


@pytest.fixture
def copy(finished: Made, tmp_path: Path) -> Path:
    return shutil.copytree(finished[0], tmp_path / "copy")


def control(history: SweepHistory) -> int:
    found = history.control()
    assert found is not None
    assert found.schedule.phases[-1].shape == "constant"
    return found.number


@pytest.fixture(scope="module")
def extended(finished: Made, tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = shutil.copytree(finished[0], tmp_path_factory.mktemp("extended") / "copy")
    return root, drive(root, control(finished[1]))


def test_only_what_comes_on_top_is_trained(finished: Made, extended: Made) -> None:
    (_, before), (root, history) = finished, extended
    number = control(before)
    (extension,) = history.extensions
    assert (extension.number, extension.extends, extension.outcome) == (TRIALS, number, OutcomeKind.COMPLETED)
    assert extension.seed == before.trials[number].seed
    assert trained(root, extension.number) == list(range(EPOCHS + 1, MORE + 1))
    assert dict(extension.shared_epochs) == {number: EPOCHS}
    assert extension.epochs == extension.schedule.epochs == MORE
    assert {decision.reason for decision in extension.decisions} == {"an extension is never pruned"}


def test_the_search_stands_as_it_did(finished: Made, extended: Made) -> None:
    (_, before), (root, history) = finished, extended
    assert history.trials == before.trials
    assert (history.ranked(), history.winner(), history.control()) == (
        before.ranked(),
        before.winner(),
        before.control(),
    )
    assert history.state is SweepState.FINISHED
    assert history.note == f"trial {control(before)} was extended to {MORE} epochs"
    assert history.recorded == (*before.trials, *history.extensions)
    again = existing_sweep(workspace(root), "small")
    assert again is not None
    assert again.finished
    ledger = Ledger(workspace(root).database_url, read_only=True)
    study = optuna.load_study(study_name="small", storage=ledger.storage)
    assert study.best_trial.number != TRIALS, "nor does Optuna rank it"
    ledger.close()


def test_it_is_exported_by_its_number_alone_and_no_verdict_stands_behind_it(extended: Made) -> None:
    history = extended[1]
    exported = export_best(history, TRIALS)
    assert (exported.epochs, exported.provenance["extends"]) == (MORE, control(history))
    assert choose(history).trial.extends is None
    assert doubt(history, choose(history, number=TRIALS)) is not None


def test_asked_for_again_it_is_there_and_the_search_can_go_on(extended: Made, tmp_path: Path) -> None:
    root = shutil.copytree(extended[0], tmp_path / "copy")
    assert drive(root, control(extended[1])).recorded == extended[1].recorded
    more = drive(root, trials=TRIALS + 2, resume=True)
    assert [trial.number for trial in more.standing] == [0, 1, 2, 4, 5]
    assert more.extensions == extended[1].extensions


@dataclass
class _Stopper:
    """Asks for a stop once a trial has come so far."""

    stop: StopRequest
    epoch: int

    def handle(self, event: Event) -> None:
        if isinstance(event, TrialEvaluated) and event.evaluation.epoch == self.epoch:
            self.stop.set("enough", StopKind.CALLER)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "go_on", [lambda root, number: drive(root, number), lambda root, _: drive(root, resume=True)]
)
def test_interrupted_it_is_gone_on_with_by_the_same_command_or_with_the_sweep(
    finished: Made, copy: Path, go_on: Callable[[Path, int], SweepHistory]
) -> None:
    number, stop = control(finished[1]), StopRequest(signals=False)
    cut = drive(copy, number, listeners=[_Stopper(stop, EPOCHS + 2)], stop=stop)
    (extension,) = cut.extensions
    assert (extension.outcome, extension.epochs) == (OutcomeKind.INTERRUPTED, EPOCHS + 2)
    assert cut.state is SweepState.INTERRUPTED
    assert number in needed_trials(cut, 0), "its checkpoints are still needed"
    assert "interrupted after 6" in extension_sentences(cut)[0]
    state = existing_sweep(workspace(copy), "small")
    assert state is not None
    assert (state.unfinished, state.finished) == (1, False)

    whole = go_on(copy, number)
    assert [(t.number, t.outcome) for t in whole.extensions] == [(extension.number, OutcomeKind.COMPLETED)]
    assert trained(copy, extension.number) == list(range(EPOCHS + 1, MORE + 1)), "none of them twice"
    assert whole.state is SweepState.FINISHED


def _drive_and_die(root: Path, number: int) -> None:
    drive(root, number, planted={TRIALS: "kill"})


@pytest.mark.slow
def test_killed_it_is_gone_on_with_and_the_sweep_is_finished_again(finished: Made, copy: Path) -> None:
    number = control(finished[1])
    driver = multiprocessing.get_context("spawn").Process(target=_drive_and_die, args=(copy, number))
    driver.start()
    driver.join()
    assert driver.exitcode == -signal.SIGKILL
    whole = drive(copy, number)
    (extension,) = whole.extensions
    assert (extension.outcome, extension.epochs) == (OutcomeKind.COMPLETED, MORE)
    assert len(set(trained(copy, extension.number))) == MORE - EPOCHS
    assert whole.state is SweepState.FINISHED


def test_one_that_fails_stays_so_and_is_asked_for_anew(finished: Made, copy: Path) -> None:
    number = control(finished[1])
    failed = drive(copy, number, planted={TRIALS: "exception"})
    assert [t.outcome for t in failed.extensions] == [OutcomeKind.FAILED]
    assert failed.failed_for_good == (), "trying the search's failed ones again does not try it"
    again = drive(copy, number)
    assert [t.outcome for t in again.extensions] == [OutcomeKind.FAILED, OutcomeKind.COMPLETED]


def test_the_control_with_as_many_epochs_is_the_fair_rival(extended: Made, tmp_path: Path) -> None:
    root, history = shutil.copytree(extended[0], tmp_path / "copy"), extended[1]
    assert "fair" not in extension_sentences(history)[0], "it is the control itself"
    other = next(t.number for t in history.trials if t.control is None and t.outcome == "completed")
    both = drive(root, other)
    _, said = extension_sentences(both)
    difference = (both.extensions[1].score or 0.0) - (both.extensions[0].score or 0.0)
    side = "above" if difference >= 0 else "below"
    assert f"{abs(difference):.3f} {side} the control with as many epochs (trial {TRIALS})" in said
    alone = both.holding((t for t in both.recorded if t.number != TRIALS), None)
    (said,) = extension_sentences(alone, " --home x")
    command = f"lossweep extend small {control(history)} --epochs {MORE} --home x"
    assert said.endswith(f"for a fair comparison: {command}")
