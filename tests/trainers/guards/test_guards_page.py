"""The page about guards is current: its table is the rules', its example of a guard of one's own watches."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.guards import build_guards
from lossweep.trainers.guards.catalog import table
from lossweep.trainers.guards.spec import RULES, GuardSpec

PAGE = (Path(__file__).parents[3] / "docs" / "guards.md").read_text(encoding="utf-8")
PRIOR = ClassPrior(names=("ground", "car"), frequencies=(0.99, 0.01))


def test_the_table_is_the_rules() -> None:
    shown = re.search(r"<!-- table -->\n\n(.*?)\n\n<!-- /table -->", PAGE, re.DOTALL)
    assert shown is not None
    print_it = "python -c 'from lossweep.trainers.guards.catalog import table; print(table())'"
    assert shown.group(1) == table(), f"docs/guards.md: put in what this prints: {print_it}"


def test_every_rule_says_all_that_the_table_shows() -> None:
    assert len(table().splitlines()) == len(RULES) + 2
    assert "|  |" not in table()


def test_the_example_of_ones_own_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(# my_guards\.py\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "my_guards.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        guards = build_guards(GuardSpec.model_validate({"my_guards:TooSteep": {"norm": 5.0}}), PRIOR)
        for step, norm in enumerate([9.0, 1.0, 9.0, 9.0], 1):
            assert guards.on_step(step, 0.5, norm) is None
        verdict = guards.on_step(5, 0.5, 9.0)
    finally:
        sys.modules.pop("my_guards", None)
    assert verdict is not None
    assert verdict.rule == "my_guards:TooSteep"
