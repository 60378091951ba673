"""What every journal must do. A test class inherits `JournalContract` and gives a fixture ``journal``."""

from __future__ import annotations

import math

from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.journal import Journal
from lossweep.trainers.evaluation import Evaluation, GuardVerdict

CONTINUE, PRUNE, RETRY = Decision.CONTINUE, Decision.PRUNE, Decision.RETRY


def evaluation(step: int, f1: float = 0.5, verdict: GuardVerdict | None = None) -> Evaluation:
    return Evaluation(
        step=step,
        epoch=step,
        epochs=4,
        phase=0,
        cycle=0,
        loss_name="jaccard",
        learning_rate=1e-3,
        metrics={"tuned_f1": f1, "recall_at_precision_0.2": 1 / 3},
        losses={"total": 0.1, "jaccard": 5e-324},
        floor_thresholds={"recall_at_precision_0.2": -70.25},
        seconds=2.5,
        cycle_ended=step == 4,
        verdict=verdict,
    )


class JournalContract:
    """Evaluations by trial and step, decisions in order of time; both written once."""

    def test_it_starts_empty(self, journal: Journal) -> None:
        assert list(journal.evaluations(0)) == []
        assert list(journal.decisions(0)) == []

    def test_evaluations_are_read_in_order_of_step(self, journal: Journal) -> None:
        for step in (3, 1, 2):
            assert journal.record_evaluation(0, evaluation(step))
        assert list(journal.evaluations(0)) == [evaluation(1), evaluation(2), evaluation(3)]

    def test_the_first_evaluation_of_a_step_stands(self, journal: Journal) -> None:
        assert journal.record_evaluation(0, evaluation(1, f1=0.25))
        assert not journal.record_evaluation(0, evaluation(1, f1=0.75))
        assert list(journal.evaluations(0)) == [evaluation(1, f1=0.25)]

    def test_a_verdict_keeps_what_is_not_finite(self, journal: Journal) -> None:
        figures = {"loss": math.nan, "norm": math.inf, "before": -math.inf}
        told = GuardVerdict("non_finite", 2, 1, "the loss is NaN – “weighted”\nand so on", figures)
        journal.record_evaluation(0, evaluation(2, verdict=told))
        (read,) = journal.evaluations(0)
        assert read.verdict is not None
        assert (read.verdict.rule, read.verdict.message) == (told.rule, told.message)
        assert math.isnan(read.verdict.figures["loss"])
        assert read.verdict.figures["norm"] == -read.verdict.figures["before"] == math.inf

    def test_decisions_are_read_in_order_of_time(self, journal: Journal) -> None:
        later = DecisionRecord(2, CONTINUE, "better than the median", {"own": 0.5, "peers": 0.25})
        earlier = DecisionRecord(1, CONTINUE, "the first rung")
        for decision in (later, earlier):
            journal.record_decision(0, decision)
        assert list(journal.decisions(0)) == [later, earlier]

    def test_one_action_at_one_step_is_written_once(self, journal: Journal) -> None:
        first = DecisionRecord(1, CONTINUE, "first", {"own": 0.5})
        other = DecisionRecord(1, PRUNE, "another action")
        for decision in (first, DecisionRecord(1, CONTINUE, "again"), other, first):
            journal.record_decision(0, decision)
        assert list(journal.decisions(0)) == [first, other]

    def test_a_retry_and_a_decision_upon_the_evaluation_may_stand_at_one_step(self, journal: Journal) -> None:
        first = [DecisionRecord(1, CONTINUE, "not compared"), DecisionRecord(1, RETRY, "the worker was lost")]
        second = [
            DecisionRecord(2, RETRY, "the worker was lost"),
            DecisionRecord(2, CONTINUE, "not compared"),
        ]
        for decision in (*first, *second, *first):
            journal.record_decision(0, decision)
        assert list(journal.decisions(0)) == [*first, *second]

    def test_one_action_is_written_at_each_step_it_was_taken_at(self, journal: Journal) -> None:
        decisions = [DecisionRecord(step, CONTINUE, "not compared") for step in (1, 2)]
        for decision in decisions:
            journal.record_decision(0, decision)
        assert list(journal.decisions(0)) == decisions

    def test_an_evaluation_and_its_decision_are_written_together_and_once(self, journal: Journal) -> None:
        assert not journal.knows(0, 1)
        going_on = DecisionRecord(1, CONTINUE, "not compared")
        for _ in range(2):
            journal.record(0, evaluation(1, f1=0.25), going_on)
        assert journal.knows(0, 1)
        assert list(journal.evaluations(0)) == [evaluation(1, f1=0.25)]
        assert list(journal.decisions(0)) == [going_on]

    def test_a_decision_is_written_upon_an_evaluation_that_is_there_already(self, journal: Journal) -> None:
        """As of a driver that died in between."""
        journal.record_evaluation(0, evaluation(1, f1=0.25))
        going_on = DecisionRecord(1, CONTINUE, "not compared")
        journal.record(0, evaluation(1, f1=0.75), going_on)
        assert list(journal.evaluations(0)) == [evaluation(1, f1=0.25)]
        assert list(journal.decisions(0)) == [going_on]

    def test_trials_are_apart(self, journal: Journal) -> None:
        for number in (7, 0):
            assert journal.record_evaluation(number, evaluation(1, f1=number / 10))
            journal.record_decision(number, DecisionRecord(1, CONTINUE, f"trial {number}"))
        assert list(journal.evaluations(7)) == [evaluation(1, f1=0.7)]
        assert [decision.reason for decision in journal.decisions(0)] == ["trial 0"]
        assert list(journal.evaluations(1)) == []

    def test_what_was_read_stays_as_it_was(self, journal: Journal) -> None:
        journal.record_evaluation(0, evaluation(1))
        journal.record_decision(0, DecisionRecord(1, CONTINUE, "first"))
        evaluations, decisions = journal.evaluations(0), journal.decisions(0)
        journal.record_evaluation(0, evaluation(2))
        journal.record_decision(0, DecisionRecord(2, CONTINUE, "second"))
        assert (len(evaluations), len(decisions)) == (1, 1)
