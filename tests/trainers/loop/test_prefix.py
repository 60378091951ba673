"""What checkpoints are found by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lossweep.trainers.loop import prefix
from lossweep.trainers.plan import MeasureSpec


def test_a_users_own_metrics_count_where_there_are_some(
    plan_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any, a checkpoint is found by what it was found by before there could be any."""
    hashed: list[dict[str, Any]] = []

    def key_of(content: dict[str, Any]) -> str:
        hashed.append(content)
        return json.dumps(content, sort_keys=True, default=str)

    monkeypatch.setattr(prefix, "key_of", key_of)
    prefix.context_key(plan_of("jaccard @1e-3 x2", 2))
    prefix.context_key(plan_of("jaccard @1e-3 x2", 2, measure=MeasureSpec(own=("my_metrics:f1",))))
    without, with_own = (content["measure"] for content in hashed)
    assert "own" not in without
    assert with_own == {**without, "own": ["my_metrics:f1"]}
