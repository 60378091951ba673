"""Whether what a sweep names by import path can be had, before anything starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lossweep.search.choices import (
    choice_problems,
    guard_problems,
    import_problems,
    metric_problems,
    of_each_import,
    own_metrics,
)
from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.spaces.files.errors import Problem
from lossweep.spaces.proposing.space_spec import SpaceSpec
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec
from lossweep.trainers.scoring.objectives import ObjectiveSpec

MODULE = """\
import torch


class Soft(torch.nn.Module):
    def forward(self, logits, target):
        return logits.mean()
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_parts.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_parts", None)


def space(*terms: str) -> SpaceSpec:
    """A phase a term."""
    phases: list[dict[str, Any]] = [{"losses": [{"term": term}], "learning_rate": 1e-3} for term in terms]
    return SpaceSpec.model_validate({"phases": phases})


def test_losses_that_can_not_be_imported_are_named_each_where_it_stands() -> None:
    problems = list(import_problems(space("no_such:Loss", "my_parts:Soft", "jaccard", "no_such:Loss")))
    assert [problem.key for problem in problems] == ["phases[0].losses[0].term", "phases[3].losses[0].term"]
    assert all("no module 'no_such'" in str(problem) for problem in problems)
    assert not list(import_problems(space("my_parts:Soft", "dice")))
    assert not list(import_problems(SpaceSpec()))


def test_the_same_problem_at_the_same_place_is_told_once() -> None:
    twice = [Problem("bad", key="term"), Problem("worse", key="term"), Problem("bad", key="term")]
    told = list(of_each_import(space("my_parts:Soft"), lambda loss: twice))
    assert [(problem.message, problem.key) for problem in told] == [
        ("bad", "phases[0].losses[0].term"),
        ("worse", "phases[0].losses[0].term"),
    ]


def test_metrics_of_ones_own_are_named_by_the_key_they_stand_at() -> None:
    waiting = {"until": {"metric": "no_such:wait", "at_least": 0.5}}
    phase = {"losses": [{"term": "dice"}], "learning_rate": 1e-3}
    named = (
        MeasureSpec(own=("no_such:measure",)),
        ObjectiveSpec(metric="no_such:objective"),
        PruningSpec(metric="no_such:prune"),
        SpaceSpec.model_validate({"phases": [{**phase, **waiting}, phase]}),
    )
    expected = {
        "measure.own[0]": "no_such:measure",
        "objective.metric": "no_such:objective",
        "pruning.metric": "no_such:prune",
        "space.phases[0].until.metric": "no_such:wait",
    }
    assert dict(own_metrics(*named)) == expected
    assert [problem.key for problem in metric_problems(*named)] == list(expected)
    known = (MeasureSpec(), ObjectiveSpec(metric="ap"), PruningSpec(metric="recall"), SpaceSpec())
    assert not list(own_metrics(*known))
    assert not list(metric_problems(*known))


def test_samplers_pruners_and_guards_that_can_not_be_had() -> None:
    def told(sampler: str = "tpe", pruner: str = "rungs") -> list[str]:
        found = choice_problems(SamplerSpec(sampler=sampler), PruningSpec(pruner=pruner), 1)
        return [problem.key or "" for problem in found]

    assert told() == []
    assert told(sampler="no_such:Sampler") == ["sampler.sampler"]
    assert told(pruner="no_such:Pruner") == ["pruning.pruner"]
    assert told("no_such:Sampler", "no_such:Pruner") == ["sampler.sampler", "pruning.pruner"]
    guards = GuardSpec.model_validate({"no_such:Guard": {}, "no_such:Off": None})
    assert [path for path, _ in guard_problems(guards)] == ["no_such:Guard"]
