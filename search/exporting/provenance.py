"""Where an exported schedule comes from: what was tried, what was confirmed, what the control scored."""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml
from pydantic import ValidationError

from lossweep.search.conducting.plans import plan_of
from lossweep.search.exporting.choice import Chosen
from lossweep.search.exporting.setting import setting_of
from lossweep.search.exporting.support import doubt
from lossweep.search.study.history import SweepHistory
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.verdicts.result import ArmScores, LeaderResult, SweepVerdict
from lossweep.search.verdicts.sentence import headline


def confirmed(history: SweepHistory, chosen: Chosen) -> dict[str, Any]:
    """Return how many were tried on each side, and what the confirmation says. No path, no secret."""
    found: dict[str, Any] = {"tried": dataclasses.asdict(history.tried())}
    verdict = chosen.verdict
    if verdict is None:
        return found
    if chosen.scores is not None:
        found["confirmed"] = _spread(history, verdict, chosen.scores)
    found["verdict"] = {
        **_judged(verdict, verdict.headline),
        "sentence": headline(verdict, verdict.held_out),
        "margin": verdict.margin,
        "complete": verdict.complete,
        "reads_before": verdict.reads_before,
        **_stands_behind(history, chosen),
    }
    return found


def control_confirmed(history: SweepHistory, chosen: Chosen) -> dict[str, Any]:
    """Return what the control scored in the confirmation; nothing without one."""
    verdict = chosen.verdict
    return {} if verdict is None else {"confirmed": _spread(history, verdict, verdict.control)}


def _stands_behind(history: SweepHistory, chosen: Chosen) -> dict[str, Any]:
    """By what its trainings were confirmed, so that another one can be held against it; or why none holds."""
    doubted = doubt(history, chosen)
    if doubted is not None:
        return {"doubt": doubted.message}
    try:
        spec = SweepSpec.model_validate(yaml.safe_load(history.spec_yaml))
    except (ValidationError, yaml.YAMLError):
        return {"doubt": f"another version of lossweep ran sweep {history.name}"}
    return {"stands_behind": setting_of(plan_of(spec, chosen.trial), history.data_fingerprint)}


def _judged(verdict: SweepVerdict, leader: LeaderResult) -> dict[str, Any]:
    judged = leader.judged
    low, high = sorted(verdict.sign * end for end in judged.interval)
    return {
        "leader": leader.scores.arm.trial,
        "word": judged.verdict.value,
        "difference": _rounded(verdict.sign * judged.difference.mean),
        "interval": [_rounded(low), _rounded(high)],
        "seeds": len(judged.difference.values),
    }


def _spread(history: SweepHistory, verdict: SweepVerdict, scores: ArmScores) -> dict[str, Any]:
    """An arm's scores on the test split: mean, sample standard deviation, and each seed's."""
    assert history.confirmation is not None
    trials = history.confirmation.of(scores.arm.schedule, scores.arm.baseline)
    summary = scores.summary
    return {
        "role": scores.arm.role.value,
        "trial": scores.arm.trial,
        "metric": verdict.held_out,
        "mean": _rounded(summary.mean),
        **({"deviation": _rounded(summary.deviation)} if summary.deviation is not None else {}),
        "n": len(scores.scores),
        "seeds": [trials[index].seed for index in sorted(scores.scores)],
        "scores": [_rounded(score) for score in scores.values],
        **({"diverged": scores.diverged} if scores.diverged else {}),
    }


def _rounded(value: float) -> float:
    return round(value, 6)
