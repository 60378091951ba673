"""What every log of attempts must do. A test class inherits `AttemptsContract` and gives a fixture `log`."""

from __future__ import annotations

from lossweep.search.running.dispatcher import AttemptLog
from lossweep.search.study.faults import Fault, FaultKind

FULL = Fault(FaultKind.OUT_OF_MEMORY, "the device is full", "Traceback")
LOST = Fault(FaultKind.WORKER_LOST, "the worker was lost")


class AttemptsContract:
    """What the retry policy goes by: the faults of a trial, and the micro-batch it was last given."""

    def test_nothing_is_known_of_a_trial_that_never_started(self, log: AttemptLog) -> None:
        assert list(log.faults(0)) == []
        assert log.micro_batch(0) is None

    def test_every_attempt_has_an_id_of_its_own(self, log: AttemptLog) -> None:
        started = [log.start(trial, None) for trial in (0, 0, 1)]
        assert len(set(started)) == 3
        assert all(started)

    def test_faults_are_kept_in_their_order(self, log: AttemptLog) -> None:
        for fault in (LOST, FULL, LOST):
            log.end(log.start(0, None), fault, "")
        assert list(log.faults(0)) == [FaultKind.WORKER_LOST, FaultKind.OUT_OF_MEMORY, FaultKind.WORKER_LOST]

    def test_an_attempt_that_ended_well_or_goes_on_is_no_fault(self, log: AttemptLog) -> None:
        log.end(log.start(0, None), None, "trained for its whole budget")
        log.start(0, None)
        assert list(log.faults(0)) == []

    def test_the_newest_attempt_says_the_micro_batch(self, log: AttemptLog) -> None:
        first = log.start(0, 8)
        assert log.micro_batch(0) == 8
        log.end(first, FULL, "")
        second = log.start(0, 4)
        assert log.micro_batch(0) == 4
        log.end(second, None, "")
        assert log.micro_batch(0) == 4
        log.start(0, None)
        assert log.micro_batch(0) is None

    def test_trials_are_apart(self, log: AttemptLog) -> None:
        first, second = log.start(0, 4), log.start(1, 2)
        log.end(second, LOST, "")
        log.end(first, FULL, "")
        assert list(log.faults(0)) == [FaultKind.OUT_OF_MEMORY]
        assert list(log.faults(1)) == [FaultKind.WORKER_LOST]
        assert (log.micro_batch(0), log.micro_batch(1)) == (4, 2)

    def test_what_was_read_stays_as_it_was(self, log: AttemptLog) -> None:
        log.end(log.start(0, None), LOST, "")
        faults = log.faults(0)
        log.end(log.start(0, None), FULL, "")
        assert list(faults) == [FaultKind.WORKER_LOST]
