"""The code is linted, formatted and typed: what pre-commit checks, the suite checks too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lossweep.test_public_names import NAMES

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "check", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=["lint", "format", "types"]
)
def test_code_passes(check: list[str]) -> None:
    command = [sys.executable, "-m", *check]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_type_checkers_know_each_name(tmp_path: Path) -> None:
    """mypy sees the real classes and functions, not what ``__getattr__`` gives (Any).

    Here, behind the check of the types: what mypy found by then it need not look for again.
    """
    names = sorted(NAMES)
    reveal = "\n".join(f"reveal_type({name})" for name in names)
    (tmp_path / "user.py").write_text(f"from lossweep import {', '.join(names)}\n\n{reveal}\n")
    check = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    run = subprocess.run(
        [*check, str(tmp_path / "user.py")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    revealed = [line for line in run.stdout.splitlines() if "Revealed type" in line]
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(revealed) == len(names)
    for name, line in zip(names, revealed, strict=True):
        assert "lossweep." in line or "def (" in line, (name, line)
        assert "Any" not in line.split("->")[-1], (name, line)


def test_no_test_passes_for_want_of_a_package() -> None:
    """What tests need is in the extra 'test': where it is missing, they fail rather than are skipped."""
    skipping = "importor" + "skip"
    assert [str(path) for path in (ROOT / "tests").rglob("*.py") if skipping in path.read_text()] == []
