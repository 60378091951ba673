"""The folders are imported as `lossweep.*` only: by its bare name, a module would exist twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def banned(code: str) -> list[str]:
    """What the lint rule says of code in this repository, a message each."""
    check = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--select",
        "TID251",
    ]
    run = subprocess.run(
        [*check, "--output-format", "json", "--stdin-filename", "tests/example.py", "-"],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
        check=False,
    )
    return [found["message"] for found in json.loads(run.stdout)]


@pytest.mark.parametrize("name", ["spaces", "trainers", "search", "dashboards"])
def test_the_lint_rule_fires(name: str) -> None:
    for code in (f"import {name}\n", f"import {name}.deeper\n", f"from {name}.deeper import thing\n"):
        (message,) = banned(code)
        assert f"the installed name is lossweep.{name}" in message
    assert not banned(f"import lossweep.{name}\nfrom lossweep.{name} import deeper\n")


def test_the_lint_rule_is_on() -> None:
    """`ruff check` alone, which test_style.py runs, selects it."""
    check = [sys.executable, "-m", "ruff", "check", "--no-cache", "--stdin-filename", "tests/example.py", "-"]
    run = subprocess.run(
        check, cwd=ROOT, input="import search\n", capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "TID251" in run.stdout
