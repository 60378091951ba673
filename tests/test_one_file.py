"""A file put into its folder is a part of lossweep's own: nothing else is edited."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package, to put files into."""
    copied = tmp_path / "copy" / "lossweep"
    shutil.copytree(ROOT / "lossweep", copied, ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def run(copy: Path, code: str) -> None:
    there = {**os.environ, "PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=there, cwd=copy.parent, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr


GUARD = """\
from lossweep.trainers.guards.rule import Evidence, Rule


class Planted(Rule):
    place = 99
    name = "planted"
    fires_when = "always"

    def on_step(self, step):
        return Evidence("planted")
"""


def test_a_guard(copy: Path) -> None:
    (copy / "trainers" / "guards" / "rules" / "planted.py").write_text(GUARD)
    run(
        copy,
        """
from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.guards import build_guards
from lossweep.trainers.guards.spec import GuardSpec
assert list(GuardSpec.model_fields)[-1] == "planted"
prior = ClassPrior(names=("ground", "car"), frequencies=(0.99, 0.01))
assert build_guards(GuardSpec(), prior).on_step(1, 0.5, 1.0).rule == "planted"
assert build_guards(GuardSpec.model_validate({"planted": None}), prior).on_step(1, 0.5, 1.0) is None
""",
    )
