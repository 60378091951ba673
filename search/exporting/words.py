"""What a confirmed arm and its scores are called in a line of text."""

from __future__ import annotations

from lossweep.search.study.confirmation import Arm, Role
from lossweep.search.verdicts.result import ArmScores
from lossweep.search.verdicts.sentence import ROLES, control_words


def arm_words(arm: Arm) -> str:
    """Return what an arm is: ``trial 15``, ``first phase alone of trial 15``, the control."""
    if arm.role is Role.LEADER:
        return f"trial {arm.trial}"
    if arm.role is Role.CONTROL:
        return f"the control, {control_words(arm.schedule)} (trial {arm.trial})"
    return f"{ROLES[arm.role]} trial {arm.trial}"


def spread_words(metric: str, scores: ArmScores) -> str:
    """Return an arm's mean and standard deviation over its seeds, on the test split."""
    summary = scores.summary
    spread = f" ± {summary.deviation:.3f}" if summary.deviation is not None else ""
    return f"test {metric} {summary.mean:.3f}{spread}"
