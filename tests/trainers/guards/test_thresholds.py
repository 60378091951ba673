"""Which thresholds are accepted."""

from __future__ import annotations

import pytest

from lossweep.trainers.guards.spec import GuardSpec
from tests.ranges import check_range

NEAR = {"ratio": "[1.0, )", "lift": "[0.0, 1.0]", "rise": "[0.0, )", "warm_up": "[0, )", "patience": "[1, )"}
RANGES = {
    "non_finite": {"warm_up": "[0, )", "patience": "[1, )", "skipped_patience": "[1, )"},
    "all_foreground": {"recall": "(0.0, 1.0]", **NEAR},
    "all_background": {"recall": "[0.0, 1.0)", **NEAR},
    "ap_collapse": {
        "share": "(0.0, 1.0)",
        "learned": "[1.0, )",
        "minimum_positives": "[0, )",
        "warm_up": "[0, )",
        "patience": "[1, )",
    },
    "rejected": {"least": "[0.0, )", "most": "(0.0, )"},
    "stuck_loss": {
        "level": "(0.0, )",
        "gradient_norm": "(0.0, )",
        "warm_up": "[0, )",
        "patience": "[1, )",
    },
    "loss_spike": {
        "z": "(0.0, )",
        "rise": "[0.0, )",
        "window": "[5, )",
        "warm_up": "[5, )",
        "patience": "[1, )",
    },
}


def test_every_threshold_is_below() -> None:
    assert {rule: ranges.keys() for rule, ranges in RANGES.items()} == {
        rule: limits.keys() for rule, limits in GuardSpec().model_dump().items()
    }


@pytest.mark.parametrize(("rule", "threshold"), [(rule, name) for rule in RANGES for name in RANGES[rule]])
def test_a_threshold_is_accepted_within_its_range(rule: str, threshold: str) -> None:
    check_range(lambda value: GuardSpec.model_validate({rule: {threshold: value}}), RANGES[rule][threshold])
