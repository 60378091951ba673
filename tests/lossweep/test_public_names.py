"""What a user imports from `lossweep` alone: each name is there, typed, documented, loaded only when used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lossweep

ROOT = Path(__file__).parents[2]

NAMES = {
    "ClassPrior",
    "LossSchedule",
    "LossScheduleCallback",
    "LossScheduleTrainerCallback",
    "LossweepError",
    "ScheduledLoss",
    "Sweep",
    "SweepSpec",
    "UserError",
    "build_loss",
    "run_sweep",
    "sweep",
}
"""What CHANGELOG.md promises to keep."""


def test_these_are_the_names() -> None:
    assert set(lossweep.__all__) == NAMES
    assert set(dir(lossweep)) >= NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_can_be_imported_and_is_documented(name: str) -> None:
    found = getattr(lossweep, name)
    assert found.__name__ == name
    assert found.__doc__


def test_a_name_that_is_not_there_is_missed() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Schedule'"):
        _ = lossweep.Schedule
    assert not hasattr(lossweep, "_nothing")


def test_importing_it_loads_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import lossweep; dir(lossweep); "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)), "
        "[name for name in sys.modules if name.startswith('lossweep.')])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['lossweep'] []"


def test_what_is_plain_data_loads_no_torch() -> None:
    """A schedule can be read, and a mistake caught, where nothing is trained."""
    code = (
        "import sys; from lossweep import ClassPrior, LossSchedule, LossweepError, UserError; "
        "print([name for name in ('torch', 'ray', 'mlflow', 'optuna') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
