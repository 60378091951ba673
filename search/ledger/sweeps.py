"""The ledger: which sweeps there are, how each stands, and everything their trials reported and were told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import yaml
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from pydantic import ValidationError
from sqlalchemy import exc, func, inspect, select, update
from sqlalchemy.orm import Session, sessionmaker

from lossweep.search.addresses import shown
from lossweep.search.ledger.attempts import Attempt, LedgerAttempts
from lossweep.search.ledger.database import open_engine, open_storage
from lossweep.search.ledger.journal import SweepJournal, decision_of
from lossweep.search.ledger.migrations import is_current, upgrade
from lossweep.search.ledger.patience import patient
from lossweep.search.ledger.records import (
    NewSweep,
    SweepRecord,
    own_controls,
    reading,
    record_of,
    refills_budget,
    unreadable,
)
from lossweep.search.ledger.standing import standing
from lossweep.search.ledger.tables import DecisionRow, EvaluationRow, SweepRow
from lossweep.search.study.confirmation import Confirmation
from lossweep.search.study.decisions import DecisionRecord
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.record import SCHEDULE, plans_of, trial_history
from lossweep.search.study.sweep_state import IllegalTransition, SweepState
from lossweep.spaces.files.errors import Problem, UserError, nearest
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.scoring.objectives import ObjectiveSpec

T = TypeVar("T")


class Ledger:
    """Everything lossweep keeps in the study's database beside the Optuna study.

    Every write is one transaction; while the database is away, calls wait (`search.ledger.database.patient`).
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        """Open the database, bringing its tables to this code's schema.

        Args:
            url: SQLAlchemy's.
            read_only: only look: nothing is made or changed, but an older schema is brought forward.

        Raises:
            UserError: when it cannot be opened, is damaged, may not be written, lies on a network file
                system, or is newer than this code.
        """
        self._url = url
        self._read_only = read_only
        self._engine = open_engine(url, read_only=read_only)
        current = is_current(self._engine)
        if not current and not (read_only and current is None):
            writer = open_engine(url) if read_only else self._engine
            upgrade(writer)
            if read_only:
                writer.dispose()
        self._is_empty = read_only and current is None
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        self._storage: RDBStorage | None = None

    def __str__(self) -> str:
        return shown(self._url)

    @property
    def storage(self) -> RDBStorage:
        """The Optuna storage in the same database."""
        if self._storage is None:
            self._storage = open_storage(self._url, read_only=self._read_only)
        return self._storage

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
        if self._storage is not None:
            self._storage.remove_session()
            self._storage.engine.dispose()

    def now(self) -> datetime:
        """The clock all leases are compared by: the database server's, or this machine's for a file."""
        if self._engine.dialect.name == "sqlite":
            return datetime.now(UTC)
        return self.do(lambda session: session.scalars(select(func.now())).one()).astimezone(UTC)

    # Sweeps

    def create(self, sweep: NewSweep) -> SweepRecord:
        """Write a new sweep.

        Raises:
            UserError: when the name is taken, by a sweep or by a study that Optuna alone made.
        """
        self.check_no_study(sweep.name)

        def insert(session: Session) -> None:
            if session.scalar(select(SweepRow.id).where(SweepRow.name == sweep.name)) is not None:
                raise UserError(Problem(f"there is already a sweep named {sweep.name}"))
            values = {name: getattr(sweep, name) for name in NewSweep.__dataclass_fields__}
            values["prior"] = sweep.prior.model_dump(mode="json")
            session.add(SweepRow(**values, state=SweepState.CREATED.value, created=datetime.now(UTC)))

        try:
            self.do(insert)
        except exc.IntegrityError:  # another process was quicker
            raise UserError(Problem(f"there is already a sweep named {sweep.name}")) from None
        return self.sweep(sweep.name)

    def check_no_study(self, name: str) -> None:
        """Make sure that a new sweep would not take over a study that is not lossweep's.

        Raises:
            UserError: when Optuna alone made a study of that name in this database.
        """
        # In this order: a sweep's row is written before its study.
        if self._study_id(name) is not None and self.find(name) is None:
            raise UserError(
                Problem(
                    f"this database holds a study named {name} that lossweep did not make",
                    key="name",
                    hint="give the sweep another name, or use another database (LOSSWEEP_DATABASE, --home)",
                )
            )

    def sweep(self, name: str) -> SweepRecord:
        """Read one sweep.

        Raises:
            UserError: when there is none of this name, with the nearest one.
        """
        record = self.find(name)
        if record is None:
            known = self.names()
            allowed = ", ".join(known) or "there are no sweeps yet"
            raise UserError(
                Problem(f"there is no sweep named {name}", allowed=allowed, hint=nearest(name, known))
            )
        return record

    def find(self, name: str) -> SweepRecord | None:
        """Read one sweep, or None.

        Raises:
            UserError: when its row is damaged.
        """
        if self._is_empty:
            return None
        with reading(name, "its row"):
            row = self.do(lambda session: session.scalar(select(SweepRow).where(SweepRow.name == name)))
            return None if row is None else record_of(row)

    def names(self) -> tuple[str, ...]:
        """The names of all sweeps, oldest first, of those that cannot be read as well."""
        if self._is_empty:
            return ()
        query = select(SweepRow.name).order_by(SweepRow.id)
        return tuple(self.do(lambda session: list(session.scalars(query))))

    def enter(self, name: str, state: SweepState, note: str = "") -> None:
        """Let a sweep enter a state, with one line on why.

        Raises:
            IllegalTransition: when the state cannot follow upon the sweep's present one.
            UserError: when there is no sweep of this name.
        """
        self.sweep(name)

        def change(session: Session) -> None:
            row = session.scalars(select(SweepRow).where(SweepRow.name == name).with_for_update()).one()
            before = SweepState(row.state)
            if not before.may_become(state):
                raise IllegalTransition(name, before, state)
            row.state, row.note = state.value, note

        self.do(change)

    def set_mlflow_run(self, name: str, run: str) -> None:
        """Write which run of MLflow shows the sweep."""
        self._update(name, mlflow_run=run)

    def set_ray_job(self, name: str, job: str) -> None:
        """Write which job of Ray runs the sweep's trials."""
        self._update(name, ray_job=job)

    def update_spec(self, name: str, spec_yaml: str, *, budget_trials: int, slots: float) -> None:
        """Write the sweep file that a sweep goes on by; see `NewSweep` for what is what."""
        self._update(name, spec_yaml=spec_yaml, budget_trials=budget_trials, slots=slots)

    def request_stop(self, name: str) -> None:
        """Ask the sweep's driver, wherever it runs, to finish the running evaluations and stop."""
        self.sweep(name)
        self._update(name, stop_requested=datetime.now(UTC))

    def stop_requested(self, name: str) -> bool:
        """Whether somebody asked the sweep to stop since its lease was last taken."""
        query = select(SweepRow.stop_requested).where(SweepRow.name == name)
        return self.do(lambda session: session.scalar(query)) is not None

    # The lease: see `search.ledger.lease.LeaseStore`

    def read_lease(self, sweep: str) -> tuple[dict[str, Any] | None, str | None, datetime | None]:
        """The holder, the token and the last heartbeat."""
        query = select(SweepRow.lease, SweepRow.lease_token, SweepRow.heartbeat).where(SweepRow.name == sweep)
        with reading(sweep, "its lease"):
            row = self.do(lambda session: session.execute(query).one())
        return row[0], row[1], row[2]

    def swap_lease(
        self, sweep: str, expected: str | None, token: str | None, holder: dict[str, Any] | None
    ) -> bool:
        """Replace the lease if it is still the expected one, atomically.

        Taking it forgets what an earlier driver was asked, by the same statement: from then on the heartbeat
        looks whether this one is asked to stop.
        """
        same = SweepRow.lease_token.is_(None) if expected is None else SweepRow.lease_token == expected
        moment = self.now() if token is not None else None
        statement = (
            update(SweepRow)
            .where(SweepRow.name == sweep, same)
            .values(lease=holder, lease_token=token, heartbeat=moment)
        )
        if token is not None:
            statement = statement.values(stop_requested=None)
        return self._changed(statement)

    def beat(self, sweep: str, token: str) -> bool:
        """Write a heartbeat; False when the lease is another's."""
        statement = (
            update(SweepRow)
            .where(SweepRow.name == sweep, SweepRow.lease_token == token)
            .values(heartbeat=self.now())
        )
        return self._changed(statement)

    # Trials

    def journal(self, name: str) -> SweepJournal:
        """Where the conductor of this sweep writes."""
        return SweepJournal(self, self.sweep(name).id)

    def attempt_log(self, name: str) -> LedgerAttempts:
        """Where the dispatcher of this sweep writes its attempts."""
        return LedgerAttempts(self, self.sweep(name).id)

    def attempts(self, sweep_id: int, trial: int | None = None) -> tuple[Attempt, ...]:
        """The attempts at one trial or at all, oldest first."""
        return LedgerAttempts(self, sweep_id).all(trial)

    def all_evaluations(self, sweep_id: int) -> dict[int, list[Evaluation]]:
        """Every trial's evaluations by number, in order of step."""
        table = EvaluationRow
        query = (
            select(table.trial, table.data)
            .where(table.sweep_id == sweep_id)
            .order_by(table.trial, table.step)
        )
        found: dict[int, list[Evaluation]] = {}
        for trial, data in self.do(lambda session: session.execute(query).all()):
            found.setdefault(trial, []).append(Evaluation.from_dict(data))
        return found

    def all_decisions(self, sweep_id: int) -> dict[int, list[DecisionRecord]]:
        """Every trial's decisions by number, in order of time."""
        query = select(DecisionRow).where(DecisionRow.sweep_id == sweep_id).order_by(DecisionRow.id)
        found: dict[int, list[DecisionRecord]] = {}
        for row in self.do(lambda session: list(session.scalars(query))):
            found.setdefault(row.trial, []).append(decision_of(row))
        return found

    def history(self, name: str, *, as_written: bool = False) -> SweepHistory:
        """Read the whole sweep as it stands: what every view is built from.

        Args:
            name: of the sweep.
            as_written: with what a driver that died left marked as running, for whoever mends that.

        Raises:
            UserError: when there is none of this name, it cannot be read, or its file is of a version that
                reads otherwise.
        """
        record = self.sweep(name)
        with reading(name, "its file"):
            file = yaml.safe_load(record.spec_yaml)
            try:
                objective = ObjectiveSpec.model_validate(file["objective"])
            except ValidationError:
                raise unreadable(record) from None
            own, refills = own_controls(file), refills_budget(file)
        with reading(name, "an evaluation"):
            evaluations = self.all_evaluations(record.id)
        with reading(name, "a decision"):
            decisions = self.all_decisions(record.id)
        with reading(name, "its Optuna study"):
            trials = self._trials(name)
            plans = plans_of(self._study_attributes(name))
        if foreign := [trial.number for trial in trials if SCHEDULE not in trial.user_attrs]:
            raise UserError(
                Problem(
                    f"sweep {name} cannot be read: trial {foreign[0]} of its study is not one of lossweep's",
                    hint="another program wrote into the study; give a new sweep another name",
                )
            )
        found = []
        for trial in trials:
            with reading(name, f"trial {trial.number}"):
                its = evaluations.get(trial.number, ()), decisions.get(trial.number, ())
                found.append(trial_history(trial, objective, *its, record.slots))
        written = SweepHistory(
            name=record.name,
            spec_yaml=record.spec_yaml,
            state=record.state,
            objective=record.objective,
            metric=record.metric,
            direction=record.direction,
            prior=record.prior,
            budget_trials=record.budget_trials,
            budget_epochs=record.budget_epochs,
            trials=(),
            created=record.created,
            data_fingerprint=record.data_fingerprint,
            code_version=record.code_version,
            own_controls=own,
            note=record.note,
            later_metrics=objective.names[1:],
            refills=refills,
        ).holding(found, Confirmation(plans[-1], (), len(plans)) if plans else None)
        return written if as_written else standing(self, written)

    def seconds(self, name: str) -> float:
        """Wall-clock seconds that the sweep's drivers have spent, as the conductor notes them."""
        return float(self._study_attributes(name).get("seconds", 0.0))

    def _study_id(self, name: str) -> int | None:
        if self._read_only and not inspect(self._engine).has_table("studies"):
            return None  # its driver was killed before it made Optuna's tables
        try:
            return self.storage.get_study_id_from_name(name)
        except KeyError:
            return None

    def _study_attributes(self, name: str) -> dict[str, Any]:
        study = self._study_id(name)
        return {} if study is None else self.storage.get_study_user_attrs(study)

    def _trials(self, name: str) -> list[FrozenTrial]:
        study = self._study_id(name)
        return [] if study is None else self.storage.get_all_trials(study, deepcopy=False)

    # Transactions

    def do(self, work: Callable[[Session], T]) -> T:
        """Run one transaction, waiting for an absent database."""

        @patient
        def once() -> T:
            with self._sessions.begin() as session:
                return work(session)

        return once()

    def _update(self, name: str, **values: Any) -> None:
        statement = update(SweepRow).where(SweepRow.name == name).values(**values)
        self.do(lambda session: session.execute(statement))

    def _changed(self, statement: Any) -> bool:
        # The result of an UPDATE counts rows, but is annotated as any statement's.
        return bool(self.do(lambda session: session.execute(statement).rowcount))  # type: ignore[attr-defined]
