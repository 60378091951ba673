"""A sweep's row as a value, and the errors of what cannot be read of a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

import yaml

from lossweep.search.ledger.tables import SweepRow
from lossweep.search.study.sweep_state import SweepState
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """One sweep's row: everything but its trials. Field by field as in `search.ledger.tables.SweepRow`."""

    id: int
    name: str
    spec_yaml: str
    seed: int
    state: SweepState
    note: str
    objective: str
    metric: str
    direction: str
    prior: ClassPrior
    budget_trials: int
    budget_epochs: int
    slots: float
    data_fingerprint: str
    code_version: str
    created: datetime
    mlflow_run: str | None
    ray_job: str | None


@dataclass(frozen=True, slots=True)
class NewSweep:
    """What is written when a sweep is created."""

    name: str
    spec_yaml: str
    seed: int
    objective: str
    metric: str
    direction: str
    prior: ClassPrior
    budget_trials: int
    budget_epochs: int
    slots: float = 1.0
    data_fingerprint: str = ""
    code_version: str = ""


@contextmanager
def reading(sweep: str, what: str) -> Iterator[None]:
    """Name the sweep whose rows are not as lossweep writes them, so that the others can be read nevertheless.

    Args:
        sweep: its name.
        what: what of it is read: ``its evaluations``.

    Raises:
        UserError: instead of whatever the rows failed with.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, yaml.YAMLError) as error:
        found = f"{type(error).__name__}: {error}".partition("\n")[0]
        hint = "another program or a fault of the disk changed it; a backup of the database has it as it was"
        raise UserError(
            Problem(f"sweep {sweep} cannot be read: {what} is damaged", found=found, hint=hint)
        ) from error


def unreadable(record: SweepRecord) -> UserError:
    """The error of a sweep whose file this version of lossweep does not understand."""
    return UserError(
        Problem(
            f"the file of sweep {record.name} is not one that this lossweep reads",
            found=f"written by lossweep {record.code_version}",
            allowed=f"this is lossweep {version('lossweep')}",
            hint="use the other one for this sweep",
        )
    )


def record_of(row: SweepRow) -> SweepRecord:
    """Return a row as a value."""
    values = {name: getattr(row, name) for name in SweepRecord.__dataclass_fields__}
    values |= {"state": SweepState(row.state), "prior": ClassPrior.model_validate(row.prior)}
    return SweepRecord(**values)


def refills_budget(written: Mapping[str, Any]) -> bool:
    """Whether a stored sweep file has its budget refilled."""
    return bool((written.get("budget") or {}).get("refill"))


def own_controls(written: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the user's own baselines in a stored sweep file."""
    controls = written.get("controls") or {}
    return tuple(controls.get("own") or ())
