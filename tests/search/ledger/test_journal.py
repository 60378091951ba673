"""The ledger's journal, on SQLite and on PostgreSQL."""

from __future__ import annotations

import math

import pytest
from small_sweeps import PRIOR, spec

from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import create_sweep
from lossweep.search.study.decisions import DecisionRecord
from lossweep.search.study.journal import Journal
from lossweep.trainers.evaluation import GuardVerdict
from tests.search.study.journal_contract import CONTINUE, RETRY, JournalContract, evaluation


class TestSweepJournal(JournalContract):
    @pytest.fixture
    def journal(self, ledger: Ledger) -> Journal:
        create_sweep(ledger, spec(), PRIOR)
        return ledger.journal("small")

    def test_the_next_driver_reads_it(self, journal: Journal, database_url: str) -> None:
        decision = DecisionRecord(1, CONTINUE, "first", {"own": 0.5})
        told = GuardVerdict("non_finite", 2, 1, "loss is NaN", {"loss": math.nan, "norm": math.inf})
        journal.record_evaluation(0, evaluation(2, verdict=told))
        journal.record_evaluation(0, evaluation(1))
        journal.record_decision(0, decision)
        next_ledger = Ledger(database_url)
        again = next_ledger.journal("small")
        assert not again.record_evaluation(0, evaluation(1, f1=0.75))
        again.record_decision(0, decision)
        # Word for word: NaN equals nothing, not even itself.
        assert repr(again.evaluations(0)) == repr((evaluation(1), evaluation(2, verdict=told)))
        assert list(again.decisions(0)) == [decision]
        next_ledger.close()

    def test_a_commit_whose_answer_was_lost_is_not_made_twice(self, journal: Journal, ledger: Ledger) -> None:
        late = ledger.journal("small")
        assert list(late.evaluations(0)) == []
        journal.record_evaluation(0, evaluation(1))
        late.record_evaluation(0, evaluation(1, f1=0.75))  # it doesn't know of the one that was written
        assert list(ledger.journal("small").evaluations(0)) == [evaluation(1)]

    def test_a_decision_whose_commit_was_not_answered_is_not_made_twice(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        late = ledger.journal("small")
        assert list(late.decisions(0)) == []
        first, other = DecisionRecord(1, CONTINUE, "first"), DecisionRecord(1, RETRY, "lost")
        journal.record_decision(0, first)
        for decision in (first, other):  # it doesn't know of the one that was written
            late.record_decision(0, decision)
        assert list(ledger.journal("small").decisions(0)) == [first, other]
        journal.record_decision(1, first)
        assert list(ledger.journal("small").decisions(1)) == [first]

    def test_a_transaction_that_is_done_again_leaves_one_of_each(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        class Twice:
            """Loses the answer of each commit, so that what was done is done again."""

            def do(self, work):
                ledger.do(work)
                return ledger.do(work)

        journal._database = Twice()  # type: ignore[attr-defined]
        assert journal.record_evaluation(0, evaluation(1))
        journal.record_decision(0, DecisionRecord(1, CONTINUE, "first"))
        again = ledger.journal("small")
        assert list(again.evaluations(0)) == [evaluation(1)]
        assert list(again.decisions(0)) == [DecisionRecord(1, CONTINUE, "first")]

    def test_sweeps_are_apart(self, journal: Journal, ledger: Ledger) -> None:
        create_sweep(ledger, spec("other"), PRIOR)
        journal.record_evaluation(0, evaluation(1))
        journal.record_decision(0, DecisionRecord(1, CONTINUE, "first"))
        other = ledger.journal("other")
        assert other.record_evaluation(0, evaluation(1, f1=0.25))
        assert list(ledger.journal("other").evaluations(0)) == [evaluation(1, f1=0.25)]
        assert list(other.decisions(0)) == []
        assert ledger.all_evaluations(ledger.sweep("small").id) == {0: [evaluation(1)]}
