"""The ledger's attempts, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from small_sweeps import PRIOR, spec

from lossweep.search.ledger import Ledger
from lossweep.search.ledger.attempts import LedgerAttempts
from lossweep.search.running.driver import create_sweep
from lossweep.search.study.faults import FaultKind
from tests.search.running.attempts_contract import FULL, LOST, AttemptsContract


class TestLedgerAttempts(AttemptsContract):
    @pytest.fixture
    def log(self, ledger: Ledger) -> LedgerAttempts:
        create_sweep(ledger, spec(), PRIOR)
        return ledger.attempt_log("small")

    def test_the_next_driver_reads_them(self, log: LedgerAttempts, database_url: str) -> None:
        log.end(log.start(0, 4), FULL, "")
        next_ledger = Ledger(database_url)
        again = next_ledger.attempt_log("small")
        assert again.faults(0) == (FaultKind.OUT_OF_MEMORY,)
        assert again.micro_batch(0) == 4
        next_ledger.close()

    def test_each_is_told_from_its_start_to_its_end(self, log: LedgerAttempts, ledger: Ledger) -> None:
        log.end(log.start(0, 4), FULL, "not said: the fault's own message is")
        log.end(log.start(1, None), None, "trained for its whole budget")
        open_one = log.start(0, 2)
        first, second, third = log.all()
        assert (first.fault, first.message) == (FaultKind.OUT_OF_MEMORY, FULL.message)
        assert (second.fault, second.message) == (None, "trained for its whole budget")
        assert (third.attempt, third.trial, third.micro_batch) == (open_one, 0, 2)
        assert (third.ended, third.fault, third.message) == (None, None, "")
        for one in (first, second):
            assert one.ended is not None
            assert one.ended >= one.started
            assert one.started.utcoffset() is not None
        assert log.all(0) == (first, third)
        assert ledger.attempts(ledger.sweep("small").id) == log.all()

    def test_what_a_dead_driver_left_open_is_ended(self, log: LedgerAttempts, ledger: Ledger) -> None:
        create_sweep(ledger, spec("other"), PRIOR)
        other = ledger.attempt_log("other")
        other.start(0, None)
        log.end(log.start(0, None), LOST, "")
        log.start(0, None)
        log.end_lost()
        assert [one.message for one in log.all()] == [LOST.message, "its driver died"]
        assert all(one.ended is not None for one in log.all())
        assert log.faults(0) == (FaultKind.WORKER_LOST,)
        assert [one.ended for one in other.all()] == [None]
