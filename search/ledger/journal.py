"""What the conductor of one sweep writes into the ledger: evaluations and decisions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Executable, exists, insert, literal, select

from lossweep.search.ledger.tables import DecisionRow, EvaluationRow
from lossweep.search.ledger.transactions import Transactions
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.trainers.evaluation import Evaluation


class SweepJournal:
    """What the conductor of one sweep writes; implements `search.study.journal.Journal`.

    Only one driver writes to a sweep (its lease), so what was read of an open trial is kept in memory.
    """

    def __init__(self, database: Transactions, sweep_id: int) -> None:
        self._database = database
        self._sweep_id = sweep_id
        self._evaluations: dict[int, dict[int, Evaluation]] = {}
        self._decisions: dict[int, list[DecisionRecord]] = {}

    def knows(self, number: int, step: int) -> bool:
        """Whether there is an evaluation; see `search.study.journal.Journal`."""
        return step in self._known_evaluations(number)

    def record(self, number: int, evaluation: Evaluation, decision: DecisionRecord) -> None:
        """Write both in one transaction; see `search.study.journal.Journal`."""
        self._write(number, evaluation, decision)

    def record_evaluation(self, number: int, evaluation: Evaluation) -> bool:
        """Write an evaluation; see `search.study.journal.Journal`."""
        if self.knows(number, evaluation.step):
            return False
        self._write(number, evaluation)
        return True

    def record_decision(self, number: int, decision: DecisionRecord) -> None:
        """Write a decision; see `search.study.journal.Journal`."""
        self._write(number, decision=decision)

    def evaluations(self, number: int) -> tuple[Evaluation, ...]:
        """The trial's evaluations; see `search.study.journal.Journal`."""
        return tuple(e for _, e in sorted(self._known_evaluations(number).items()))

    def decisions(self, number: int) -> tuple[DecisionRecord, ...]:
        """The trial's decisions; see `search.study.journal.Journal`."""
        return tuple(self._known_decisions(number))

    def _write(
        self, number: int, evaluation: Evaluation | None = None, decision: DecisionRecord | None = None
    ) -> None:
        """Write what is not known yet, in one transaction."""
        trial: dict[str, Any] = {"sweep_id": self._sweep_id, "trial": number}
        evaluations, decisions = self._known_evaluations(number), self._known_decisions(number)
        statements = []
        if evaluation is not None and evaluation.step not in evaluations:
            key = {**trial, "step": evaluation.step}
            statements.append(_insertion(EvaluationRow, key, data=evaluation.to_dict()))
        else:
            evaluation = None
        if decision is not None and not any(
            (d.step, d.action) == (decision.step, decision.action) for d in decisions
        ):
            key = {**trial, "step": decision.step, "action": decision.action.value}
            figures = dict(decision.figures)
            statements.append(_insertion(DecisionRow, key, reason=decision.reason, figures=figures))
        else:
            decision = None
        if statements:
            self._database.do(lambda session: [session.connection().execute(each) for each in statements])
        if evaluation is not None:
            evaluations[evaluation.step] = evaluation
        if decision is not None:
            decisions.append(decision)

    def _known_evaluations(self, number: int) -> dict[int, Evaluation]:
        if number not in self._evaluations:
            query = select(EvaluationRow.data).where(
                EvaluationRow.sweep_id == self._sweep_id, EvaluationRow.trial == number
            )
            rows = self._database.do(lambda session: list(session.scalars(query)))
            found = [Evaluation.from_dict(data) for data in rows]
            self._evaluations[number] = {evaluation.step: evaluation for evaluation in found}
        return self._evaluations[number]

    def _known_decisions(self, number: int) -> list[DecisionRecord]:
        if number not in self._decisions:
            query = (
                select(DecisionRow)
                .where(DecisionRow.sweep_id == self._sweep_id, DecisionRow.trial == number)
                .order_by(DecisionRow.id)
            )
            rows = self._database.do(lambda session: list(session.scalars(query)))
            self._decisions[number] = [decision_of(row) for row in rows]
        return self._decisions[number]


def _insertion(row: type[EvaluationRow | DecisionRow], key: Mapping[str, Any], **values: Any) -> Executable:
    """Insert a row unless there is one of its key: a commit whose answer was lost is not made twice.

    One statement, as many workers report at once.
    """
    table = row.__table__
    given = {**key, **values, "recorded": datetime.now(UTC)}
    there = exists().where(*(table.c[name] == value for name, value in key.items()))
    wanted = select(*(literal(value, table.c[name].type) for name, value in given.items())).where(~there)
    return insert(row).from_select(list(given), wanted)


def decision_of(row: DecisionRow) -> DecisionRecord:
    """Read a decision back."""
    return DecisionRecord(row.step, Decision(row.action), row.reason, row.figures)
