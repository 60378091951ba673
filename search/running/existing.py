"""A sweep that was submitted before: how it stands, and whether a sweep file may go on with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import yaml
from pydantic import ValidationError

from lossweep.search.choices import choice_problems
from lossweep.search.ledger import Ledger, SweepRecord, unreadable
from lossweep.search.ledger.lease import Holder, LeaseHeld, holder_of
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import Problem, UserError

CHANGEABLE = ("budget", "resources", "confirm", "pruning")
"""What a sweep file may say differently when resumed; all else would mix two sweeps in one study."""


@dataclass(frozen=True, slots=True)
class ExistingSweep:
    """How an existing sweep stands, and so what resuming it would do.

    Attributes:
        name: of the sweep.
        state: as it stands.
        note: why it stands so, one line.
        counts: trials by outcome.
        left: trials that would start anew.
        unfinished: trials that would go on from their checkpoints.
        paused: trials that would, if their peers turned out no better; what is left of them is pruned.
        failed: trials that failed and were not tried again.
        retried: how many of those would be tried again.
        unconfirmed: trainings of the confirmation that are not done, as far as it is planned.
        holder: the driver that has it, None when none has.
        changes: keys in which the sweep file at hand differs from the one submitted.
        problems: why the sweep cannot go on by the file at hand.
        spent: whether its hours are over.
    """

    name: str
    state: SweepState
    note: str
    counts: dict[str, int]
    left: int
    unfinished: int
    holder: Holder | None
    paused: int = 0
    changes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    spent: bool = False
    unconfirmed: int = 0
    failed: int = 0
    retried: int = 0

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do, or no time to do it in."""
        if self.spent:  # a driver that died left what is paused, which is to be pruned then
            return self.unfinished > 0 or not self.paused
        return not (self.left or self.unfinished or self.paused or self.unconfirmed or self.retried)

    def check(self) -> None:
        """Make sure that the sweep can be gone on with.

        Raises:
            LeaseHeld: when a living driver has it.
            UserError: when the file at hand is another sweep's.
        """
        if self.holder is not None:
            raise LeaseHeld(self.name, self.holder)
        if self.problems:
            raise UserError(self.problems)

    def __str__(self) -> str:
        done = ", ".join(f"{count} {kind}" for kind, count in self.counts.items() if count) or "no trials yet"
        if self.holder is not None:
            return f"sweep {self.name} is being driven by {self.holder}: {done}"
        if self.spent and self.finished:
            return f"sweep {self.name} has spent its hours: {done}"
        if self.finished:
            return f"sweep {self.name} is finished: {done}"
        taken = f", by the new {', '.join(self.changes)}" if self.changes else ""
        confirming = f" and {self.unconfirmed} trainings that confirm" if self.unconfirmed else ""
        waiting = f", with those of {self.paused} paused that turn out no worse" if self.paused else ""
        again = f", try {self.retried} failed ones again" if self.retried else ""
        return (
            f"sweep {self.name} is {self.state}: {done}; resuming would go on with {self.unfinished} "
            f"unfinished trials from their checkpoints{waiting}{again} and start {self.left} new ones"
            f"{confirming}{taken}"
        )


def existing_sweep(
    workspace: Workspace, name: str, spec: SweepSpec | None = None, *, retry_failed: bool = False
) -> ExistingSweep | None:
    """How the sweep of this name stands, or None when there is none.

    Args:
        workspace: where to look.
        name: of the sweep.
        spec: a sweep file of the same name, to compare with the one submitted.
        retry_failed: whether what failed is to be tried again.

    Raises:
        UserError: when it cannot be read, or a study of that name is not lossweep's.
    """
    ledger = Ledger(workspace.database_url)
    try:
        record = ledger.find(name)
        if record is None:
            ledger.check_no_study(name)
            return None
        history = ledger.history(name)
        holder, in_force = holder_of(ledger, name)
        counts = history.counts()
        submitted = stored_spec(record)
        budget = (spec or submitted).budget
        spent = budget.hours is not None and ledger.seconds(name) >= 3600.0 * budget.hours
        failed = len(history.failed_for_good)
        return ExistingSweep(
            name=name,
            state=history.state,
            note=history.note,
            counts=counts,
            left=0 if spent else replace(history, budget_trials=budget.trials, refills=budget.refill).left,
            unfinished=sum(not t.outcome.is_final for t in history.recorded) - history.paused,
            paused=history.paused,
            holder=holder if in_force else None,
            changes=_changes(submitted, spec) if spec is not None else (),
            problems=tuple(resume_problems(submitted, spec)) if spec is not None else (),
            spent=spent,
            unconfirmed=0 if spent else _unconfirmed(history, spec or submitted),
            failed=failed,
            retried=failed if retry_failed and not spent else 0,
        )
    finally:
        ledger.close()


def _unconfirmed(history: SweepHistory, spec: SweepSpec) -> int:
    """Trainings of the confirmation that are left, of the planned one or of the one that is to come."""
    if history.confirmation is not None:
        return history.confirmation.planned - history.confirmation.done
    if spec.confirm is None:
        return 0
    asked = spec.confirm
    plan = history.plan_confirmation(top=asked.top, seeds=asked.seeds, margin=asked.margin)
    return sum(1 for _ in plan.trainings()) if plan is not None else 0


def stored_spec(record: SweepRecord) -> SweepSpec:
    """Return the sweep file as submitted.

    Raises:
        UserError: when another version of lossweep wrote it, and this one cannot read it.
    """
    try:
        return SweepSpec.model_validate(yaml.safe_load(record.spec_yaml))
    except ValidationError:
        raise unreadable(record) from None


def resume_problems(old: SweepSpec, new: SweepSpec) -> list[Problem]:
    """Return why a sweep cannot go on by another file: what may not change, and what does not work."""
    problems = [
        Problem("differs from the sweep as submitted", key=key, hint="give the changed sweep another name")
        for key in _changes(old, new)
        if key not in CHANGEABLE
    ]
    return problems + list(choice_problems(new.sampler, new.pruning, len(new.objective.names)))


def _changes(old: SweepSpec, new: SweepSpec) -> tuple[str, ...]:
    """The top-level keys in which two sweep files differ; epochs count as a key of their own."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    keys = [key for key in before if before[key] != after[key]]
    if old.budget.epochs != new.budget.epochs:
        keys.append("budget.epochs")
    return tuple(keys)
