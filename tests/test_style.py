"""The code is linted, formatted and typed: what pre-commit checks, the suite checks too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "check", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=["lint", "format", "types"]
)
def test_code_passes(check: list[str]) -> None:
    command = [sys.executable, "-m", *check]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_test_passes_for_want_of_a_package() -> None:
    """What tests need is in the extra 'test': where it is missing, they fail rather than are skipped."""
    skipping = "importor" + "skip"
    assert [str(path) for path in (ROOT / "tests").rglob("*.py") if skipping in path.read_text()] == []
