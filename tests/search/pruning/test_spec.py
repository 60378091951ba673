"""What may stand under `pruning:`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lossweep.search.pruning.spec import PruningSpec
from tests.ranges import check_range

RANGES = {
    "keep": "(0.0, 1.0]",
    "min_peers": "[1, )",
    "patience": "[1, )",
    "audit": "[0.0, 1.0]",
}


@pytest.mark.parametrize("key", RANGES)
def test_a_number_is_accepted_within_its_range(key: str) -> None:
    check_range(lambda value: PruningSpec.model_validate({key: value}), RANGES[key])


def test_rungs_are_shares_of_a_budget_that_rise() -> None:
    check_range(lambda share: PruningSpec(rungs=(share,)), "(0.0, 1.0)")
    assert PruningSpec(rungs=(0.2, 0.5, 0.9)).rungs == (0.2, 0.5, 0.9)
    for rungs in ((), (0.5, 0.2), (0.5, 0.5)):
        with pytest.raises(ValidationError, match=r"rungs"):
            PruningSpec(rungs=rungs)


def test_a_pruner_is_named_or_imported_and_only_an_imported_one_has_parameters() -> None:
    for name in ("rungs", "median", "none", "mine:Pruner"):
        assert PruningSpec(pruner=name).pruner == name
    assert PruningSpec(pruner="mine:Pruner", parameters={"n": 1}).parameters == {"n": 1}
    with pytest.raises(ValidationError, match=r"unknown pruner 'rung'; allowed: .*rungs.*module:Class"):
        PruningSpec(pruner="rung")
    with pytest.raises(ValidationError, match="parameters belong to a pruner given by import path"):
        PruningSpec(pruner="median", parameters={"n": 1})
