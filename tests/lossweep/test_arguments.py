"""What ``--set`` makes of its texts: the values a sweep file would hold."""

from __future__ import annotations

import pytest

from lossweep.commands.arguments import parse_overrides
from lossweep.spaces.files.errors import UserError


def test_values_are_read_as_in_a_file() -> None:
    texts = ["a=1e-3", "b = no", "c.d[0]={low: 1, high: 2}", "e=010", "f=x=y", "g="]
    assert parse_overrides(texts) == {
        "a": 0.001,
        "b": "no",
        "c.d[0]": {"low": 1, "high": 2},
        "e": 10,
        "f": "x=y",
        "g": None,
    }
    assert parse_overrides(None) == {}


def test_all_that_is_no_setting_is_told() -> None:
    with pytest.raises(UserError) as raised:
        parse_overrides(["a", "=3", "b=[1", "c={x: 1, x: 2}"])
    found = [problem.found for problem in raised.value.problems]
    assert found == ["'a'", "'=3'", "'b=[1'", "'c={x: 1, x: 2}'"]
