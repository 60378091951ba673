"""Which parts of a sweep are a user's own code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lossweep.search.own_code import change_words, own_code
from tests.search.small_sweeps import spec

PARTS = (
    "model",
    "sampler",
    "control_sampler",
    "pruner",
    "guard",
    "data",
    "metric",
    "loss",
    "baseline",
    "winner",
)


def written_out(loss: str) -> dict[str, Any]:
    return {"phases": [{"loss": {"term": loss}, "learning_rate": 1e-3, "epochs": 4}]}


def path(name: str) -> str:
    return f"own_{name}:Part"


def phase(loss: str) -> dict[str, Any]:
    return {"losses": [{"term": loss}], "learning_rate": 1e-3}


OWN: dict[str, dict[str, Any]] = {
    "model": {"model": {"architecture": path("model")}},
    "sampler": {"sampler": {"sampler": path("sampler")}},
    "control_sampler": {"controls": {"sampler": {"sampler": path("control_sampler")}}},
    "pruner": {"pruning": {"pruner": path("pruner")}},
    "guard": {"guards": {path("guard"): {}}},
    "data": {"data": {"source": "import", "function": path("data")}},
    "metric": {"measure": {"own": [path("metric")]}},
    "loss": {"space": {"phases": [phase(path("loss"))]}},
    "baseline": {"controls": {"own": {"ours": written_out(path("baseline"))}}},
    "winner": {"warm_start": [written_out(path("winner"))]},
}


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in OWN:
        (tmp_path / f"own_{name}.py").write_text(f"class Part:\n    '''{name}'''\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in OWN:
        sys.modules.pop(f"own_{name}", None)


def test_a_sweep_of_known_parts_has_none() -> None:
    assert own_code(spec()) == {}
    assert own_code(spec(sampler={"sampler": "hub:samplers/auto_sampler"})) == {}


@pytest.mark.parametrize("part", OWN)
def test_each_part_of_ones_own_is_found_with_a_digest_of_its_source(part: str, tmp_path: Path) -> None:
    of = spec(**OWN[part])
    (found,) = own_code(of).items()
    assert found[0] == path(part)
    (tmp_path / f"own_{part}.py").write_text("class Part:\n    '''edited'''\n")
    assert own_code(of)[path(part)] != found[1]


def test_a_change_is_told_in_one_line() -> None:
    before = {"a:A": "1", "b:B": "1"}
    assert change_words(before, before, {}) == ""
    assert change_words(before, {"a:A": "2", "b:B": "1", "c:C": "1"}, {}) == (
        "The code of a:A has changed since the sweep last ran; no unfinished trial had begun with it."
    )
    told = change_words(before, before, {7: ["b:B"], 3: ["a:A", "b:B"]})
    assert told.startswith(
        "The code of a:A, b:B has changed since the sweep last ran; begun trials begin anew"
    )
    assert told.endswith(": 3, 7.")
