"""Signals at every moment of a sweep: when they wait, when they don't, and what is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_sweeps import spec, task, workspace

from lossweep.search.ledger import Ledger
from lossweep.search.running import driver, stopping
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.existing import existing_sweep
from lossweep.search.running.stopping import SIGNALS, Patience, StopRequest, interrupt_on_signals
from lossweep.search.study.events import Event, SweepEnded, SweepStarted, TrialEvaluated
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.sweep_state import StopKind


@pytest.fixture(autouse=True)
def handlers() -> Iterator[dict[signal.Signals, Any]]:
    """Those of a test's start, none of them ignored; those of before are there again afterwards."""
    before = {one: signal.getsignal(one) for one in SIGNALS}
    for one, handler in before.items():  # a shell's background process ignores some, and a sweep heeds that
        signal.signal(one, signal.SIG_DFL if handler is signal.SIG_IGN else handler)
    yield {one: signal.getsignal(one) for one in SIGNALS}
    for one, handler in before.items():
        signal.signal(one, handler)


def send(number: int, times: int = 1) -> None:
    for _ in range(times):
        os.kill(os.getpid(), number)


class At:
    """A listener that does something at the first event of a kind, and at its own close."""

    def __init__(self, kind: type[Event], do: Callable[[], None], close: Callable[[], None] = int) -> None:
        self._kind, self._do, self._close = kind, do, close

    def handle(self, event: Event) -> None:
        if isinstance(event, self._kind):
            do, self._do = self._do, int
            do()

    def close(self) -> None:
        self._close()


def assert_interrupted(root: Path, history: SweepHistory, reason: str) -> None:
    assert history.state == "interrupted"
    assert OutcomeKind.RUNNING not in {trial.outcome for trial in history.trials}
    state = existing_sweep(workspace(root), "small")
    assert state is not None
    assert state.holder is None
    assert reason in state.note
    assert not state.finished


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_lets_running_evaluations_finish(
    tmp_path: Path, number: signal.Signals, handlers: dict[signal.Signals, Any]
) -> None:
    ears = At(TrialEvaluated, lambda: send(number))
    history = run_sweep(spec(), workspace(tmp_path), [ears], task=task(tmp_path / "work"))
    assert {one: signal.getsignal(one) for one in SIGNALS} == handlers
    assert [(trial.outcome.value, len(trial.evaluations)) for trial in history.trials] == [("interrupted", 1)]
    assert_interrupted(tmp_path, history, "Ctrl-C" if number is signal.SIGINT else number.name)


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("kind", [SweepStarted, SweepEnded])
def test_the_beginning_and_the_end_are_written_whatever_comes(
    tmp_path: Path, kind: type[Event], times: int
) -> None:
    ears = At(kind, lambda: send(signal.SIGTERM, times))
    history = run_sweep(spec(trials=5), workspace(tmp_path), [ears], task=task(tmp_path / "work"))
    if kind is SweepEnded:  # it was over by then
        assert (history.state, history.counts()["completed"]) == ("finished", 5)
    else:
        assert_interrupted(tmp_path, history, "SIGTERM")
        assert history.trials == ()


def test_while_it_is_created_a_signal_waits_for_the_sweep_to_be_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = driver.create_sweep

    def interrupted(*args: Any) -> Any:
        send(signal.SIGHUP)
        return create(*args)

    monkeypatch.setattr(driver, "create_sweep", interrupted)
    history = run_sweep(spec(), workspace(tmp_path), task=task(tmp_path / "work"))
    assert_interrupted(tmp_path, history, "SIGHUP")


@pytest.mark.parametrize("made_of_it", [None, AttributeError("a module that was half imported")])
def test_while_the_data_are_read_one_signal_ends_it_and_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_of_it: Exception | None
) -> None:
    def read(*args: object) -> None:
        try:
            send(signal.SIGTERM)
        except KeyboardInterrupt:
            if made_of_it is not None:
                raise made_of_it from None
            raise
        raise AssertionError("the signal waited")

    monkeypatch.setattr(driver, "segmentation", read)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(spec(), workspace(tmp_path))
    assert existing_sweep(workspace(tmp_path), "small") is None


def test_what_a_listener_has_not_passed_on_can_be_abandoned(tmp_path: Path) -> None:
    waited: list[str] = []

    def wait() -> None:
        send(signal.SIGINT)
        waited.append("once")
        send(signal.SIGINT)
        waited.append("twice")

    ears = At(SweepEnded, int, close=wait)
    history = run_sweep(spec(trials=5), workspace(tmp_path), [ears], task=task(tmp_path / "work"))
    assert waited == ["once"]
    ledger = Ledger(workspace(tmp_path).database_url)
    assert ledger.sweep("small").state == history.state == "finished"
    ledger.close()


@pytest.mark.parametrize("patience", Patience)
def test_a_signal_interrupts_when_patience_is_at_its_end(patience: Patience) -> None:
    stop = StopRequest(signals=True)
    stop.install()
    with stop.patient(patience):
        for _ in range(patience - 1):
            send(signal.SIGQUIT)
            assert not stop.interrupted
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGUSR1)
    stop.uninstall()
    assert stop.interrupted
    assert (stop.kind, stop.reason) == (
        StopKind.SIGNAL,
        f"interrupted by {'SIGUSR1' if patience == 1 else 'SIGQUIT'}",
    )


def test_once_another_has_asked_for_a_stop_ctrl_c_waits_no_longer() -> None:
    stop = StopRequest(signals=True)
    stop.install()
    stop.set("paused: the disk is full", StopKind.PAUSED)
    with stop.patient(Patience.TO_FINISH), pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
    stop.uninstall()
    assert stop.kind is StopKind.PAUSED


def test_what_a_process_was_started_to_ignore_it_ignores() -> None:
    """As ``nohup`` does with hang-ups, and shells with the Ctrl-C of what runs in the background."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = StopRequest(signals=True)
    stop.install()
    with stop.patient(Patience.TO_FINISH):
        send(signal.SIGHUP)
        assert not stop.is_set()
        send(signal.SIGINT)
        assert stop.is_set()
    stop.uninstall()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    heard = interrupt_on_signals()
    send(signal.SIGHUP)
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGUSR2)
    assert heard == ["SIGUSR2"]


def test_signals_have_names_that_people_know() -> None:
    assert [stopping.name_of(one) for one in SIGNALS[:3]] == ["Ctrl-C", "SIGTERM", "SIGHUP"]
