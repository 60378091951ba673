"""A store that is away, slow, behind or refuses: no number is lost, and no driver held up for long."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest
from listening import SWEEP, listener, play
from mlflow_reading import assert_equal, read
from sweep_events import events

from lossweep.dashboards.mlflow.store import MlflowStore
from lossweep.dashboards.mlflow.tracking import sync
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.trial_history import TrialHistory

pytestmark = pytest.mark.slow


@pytest.fixture
def sweep() -> SweepHistory:
    return SWEEP


def test_a_store_that_is_away_stops_nothing_and_gets_every_number_later(
    store: str, sweep: SweepHistory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = threading.Event()
    away.set()
    refused = threading.Semaphore(0)
    real = MlflowStore._log

    def log(self: MlflowStore, *arguments: object, **more: object) -> None:
        if away.is_set():
            refused.release()
            raise ConnectionError("connection refused")
        real(self, *arguments, **more)  # type: ignore[arg-type] # as given

    monkeypatch.setattr(MlflowStore, "_log", log)
    told, listening = events(sweep), listener(store)
    for event in told:
        listening.handle(event)
    assert all(refused.acquire(timeout=30) for _ in range(3)), "it is tried again"
    assert listening.pending == len(told)
    away.clear()
    listening.close()
    assert (listening.pending, listening.dropped) == (0, 0)
    assert_equal(store, sweep)
    said = [record.message for record in caplog.records if "can't be reached" in record.message]
    assert len(said) == 1, "an outage is said once, however often it is tried"


def test_no_event_waits_for_a_store_that_does_not_answer(
    store: str, sweep: SweepHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()
    real = MlflowStore._log

    def log(self: MlflowStore, *arguments: object, **more: object) -> None:
        asked.set()
        assert answered.wait(60), "an event waited for the store, which waits for the last event"
        real(self, *arguments, **more)  # type: ignore[arg-type] # as given

    monkeypatch.setattr(MlflowStore, "_log", log)
    told, listening = events(sweep), listener(store)
    listening.handle(told[0])
    assert asked.wait(60)
    for event in told[1:]:
        listening.handle(event)
    assert listening.pending == len(told)
    answered.set()
    listening.close()
    assert_equal(store, sweep)


def test_close_gives_up_on_a_dead_store_and_sync_mends_it(
    store: str, sweep: SweepHistory, caplog: pytest.LogCaptureFixture
) -> None:
    dead = listener("http://127.0.0.1:1", patience=0.5)
    with caplog.at_level(logging.WARNING):
        play(dead, events(sweep)[:10])
    assert dead.pending == 10
    assert "misses 10 events of this sweep; `lossweep sync vehicles` writes them" in caplog.text
    sync(sweep, store, report=None)
    assert_equal(store, sweep)


def test_a_store_that_is_known_to_be_away_holds_the_driver_for_a_short_while(sweep: SweepHistory) -> None:
    """A second driver is refused until this one has closed its listeners."""
    now = [0.0]
    dead = listener("http://127.0.0.1:1", patience=60.0, away=15.0, clock=lambda: now[0])
    for event in events(sweep)[:10]:
        dead.handle(event)
    deadline = time.monotonic() + 60.0
    while not dead._is_away:
        assert time.monotonic() < deadline
        time.sleep(0.05)

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    dead._clock = clock
    dead.close()
    assert 15.0 < now[0] < 20.0
    assert dead.pending == 10


class Behind:
    """A store that writes when it is let, and a listener that is behind with a whole sweep."""

    def __init__(self, store: str, sweep: SweepHistory, monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
        self.calls: list[str] = []
        self.let = threading.Event()
        self._count(monkeypatch)
        self.listener = listener(store, **more)
        for event in events(sweep):
            self.listener.handle(event)

    def _count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("start_trial", "log_points", "end_trial", "update_sweep", "reconcile"):
            real = getattr(MlflowStore, name)

            def call(store: MlflowStore, *given: Any, _name: str = name, _real: Any = real) -> Any:
                self.let.wait(60)
                self.calls.append(_name)
                return _real(store, *given)

            monkeypatch.setattr(MlflowStore, name, call)


def test_a_listener_that_is_behind_writes_once_a_trial(
    store: str, sweep: SweepHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = Behind(store, sweep, monkeypatch)
    assert behind.listener.pending == len(events(sweep))
    behind.let.set()
    behind.listener.close()
    assert (behind.listener.pending, behind.listener.dropped) == (0, 0)
    assert behind.calls.count("end_trial") == len(sweep.trials)
    assert behind.calls.count("log_points") == 0, "curves go with the trial's end"
    assert behind.calls.count("update_sweep") <= 3
    assert_equal(store, sweep)


def test_what_a_run_holds_is_not_written_again(
    store: str, sweep: SweepHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each event by itself, so that each run is written many times."""
    written: dict[str, list[tuple[Any, ...]]] = {}
    real = MlflowStore._batch

    def batch(self: MlflowStore, run: str, *given: Any, **more: Any) -> None:
        parts = (*given, *more.values())
        written.setdefault(run, []).extend(
            (type(one), one.key, str(one.value), getattr(one, "step", 0), getattr(one, "timestamp", 0))
            for part in parts
            for one in part
        )
        real(self, run, *given, **more)

    monkeypatch.setattr(MlflowStore, "_batch", batch)
    one_by_one = listener(store, gather=0.0)
    for event in events(sweep)[:-1]:
        one_by_one.handle(event)
        deadline = time.monotonic() + 60.0
        while one_by_one.pending:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert len(written) == len(sweep.trials) + 1
    for run, values in written.items():
        assert len(values) == len(set(values)), run
    play(one_by_one, events(sweep)[-1:])
    assert_equal(store, sweep)


def test_each_trial_that_ends_is_one_batch_of_figures(
    store: str, sweep: SweepHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    real = MlflowStore._batch

    def batch(self: MlflowStore, run: str, *given: Any, **more: Any) -> None:
        batches.append(run)
        real(self, run, *given, **more)

    monkeypatch.setattr(MlflowStore, "_batch", batch)
    behind = Behind(store, sweep, monkeypatch)
    behind.let.set()
    behind.listener.close()
    _, children = read(store)
    assert {number: batches.count(run.run_id) for number, run in children.items()} == dict.fromkeys(
        children, 1
    )


def test_close_waits_as_long_as_it_gets_on_and_says_how_much_is_left(
    store: str, sweep: SweepHistory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each write takes nearly all of its patience, and more than the time between two lines."""
    now = [0.0]
    behind = Behind(store, sweep, monkeypatch, patience=60.0, telling=5.0, clock=lambda: now[0])
    real = MlflowStore._batch

    def slowly(self: MlflowStore, *given: Any, **more: Any) -> None:
        now[0] += 55.0
        time.sleep(0.15)  # so that it is seen: `close` looks ten times a second
        real(self, *given, **more)

    monkeypatch.setattr(MlflowStore, "_batch", slowly)
    behind.let.set()
    behind.listener.close()
    assert now[0] > 5 * 60.0
    assert (behind.listener.pending, behind.listener.dropped) == (0, 0)
    told = [record.args for record in caplog.records if "still to write" in record.message]
    left = [int(str(count[0])) for count in told if isinstance(count, tuple)]
    assert left == sorted(left, reverse=True)
    assert left[-1] < len(events(sweep))
    assert_equal(store, sweep)


@pytest.mark.parametrize("asked", ["a stop", "Ctrl-C"])
def test_close_leaves_the_rest_to_sync_when_somebody_asks_for_an_end(
    asked: str,
    store: str,
    sweep: SweepHistory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reasons = iter([""])

    def stopping() -> str:
        reason = next(reasons, "interrupted by Ctrl-C")
        if reason and asked == "Ctrl-C":
            raise KeyboardInterrupt
        return reason

    behind = Behind(store, sweep, monkeypatch, stopping=stopping)
    behind.listener.close()
    assert behind.listener.pending == len(events(sweep))
    assert "`lossweep sync" in caplog.text
    behind.let.set()


def test_a_trial_that_mlflow_refuses_is_dropped_and_the_rest_goes_on(
    store: str, sweep: SweepHistory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = MlflowStore.end_trial

    def end_trial(self: MlflowStore, trial: TrialHistory, so_far: SweepHistory) -> None:
        if trial.number in (1, 3) and so_far.state == "running":
            raise ValueError("a bug " + "that has much to say " * 99)
        real(self, trial, so_far)

    monkeypatch.setattr(MlflowStore, "end_trial", end_trial)
    listening = listener(store)
    play(listening, events(sweep))
    assert listening.dropped == sum(2 + len(sweep.trials[number].evaluations) for number in (1, 3))
    assert_equal(store, sweep)  # the sweep's end writes all that may be missing
    refused = [record.message for record in caplog.records if "a bug" in record.message]
    assert len(refused) == 1, "what is refused alike is said once"
    assert len(refused[0]) < 300
    counted = f"refused {listening.dropped} events; what they told was written at the sweep's end"
    assert counted in caplog.text
    assert "misses" not in caplog.text, "nothing is missing"


def test_what_mlflow_refused_to_the_end_is_counted_with_its_remedy(
    store: str, sweep: SweepHistory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: MlflowStore, *given: object) -> None:
        raise ValueError("a bug")

    for name in ("update_sweep", "end_trial", "reconcile"):
        monkeypatch.setattr(MlflowStore, name, refuse)
    listening, told = listener(store), events(sweep)
    play(listening, told)
    assert (listening.pending, listening.dropped) == (0, len(told))
    assert len([record for record in caplog.records if "a bug" in record.message]) == 1
    assert f"{len(told)} of them refused; `lossweep sync vehicles`" in caplog.text
