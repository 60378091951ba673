"""What MLflow shows of a confirmation: names, tags and test figures of its runs, and the sweep's verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from lossweep.dashboards.numbers import number, signed
from lossweep.search.study.confirmation import Arm, Role
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.trial_history import TrialHistory
from lossweep.search.verdicts.result import ArmScores, SweepVerdict, between
from lossweep.search.verdicts.sentence import arm_label

ARM_TAG: Final = "arm"
"""The arm with the number of its leader: what the runs of several seeds have in common."""
TABLE: Final = ("arm", "mean", "SD", "seeds", "difference to the control")
"""Headings of `arms_table`."""


def run_name(trial: TrialHistory, sweep: SweepHistory) -> str:
    """Return ``confirm #14 [rates_alone] seed 2``; without an arm for a leader, whose number says enough."""
    arm = next(iter(_arms(trial, sweep)), None)
    if arm is None:
        return f"confirm [an earlier confirmation's] seed {_seed(trial)}"
    mark = "" if arm.role is Role.LEADER else f" [{arm.role}]"
    return f"confirm #{arm.trial}{mark} seed {_seed(trial)}"


def confirmation_tags(trial: TrialHistory, sweep: SweepHistory) -> dict[str, object]:
    """Return what tells a confirmation trial's run from others.

    Tags, and no parameters: a later confirmation may give the same schedule another arm, and MLflow never
    changes a parameter. A schedule that is several arms names them all; seeds are counted from 1.
    """
    arms = _arms(trial, sweep)
    return {
        ARM_TAG: ", ".join(f"#{arm.trial} {arm.role}" for arm in arms) or "of an earlier confirmation",
        "arm_role": _joined(str(arm.role) for arm in arms),
        "confirms_trial": _joined(str(arm.trial) for arm in arms),
        "seed_index": _seed(trial),
        "is_control": str(any(arm.role is Role.CONTROL for arm in arms)).lower(),
    }


def held_out_figures(trial: TrialHistory) -> dict[str, float]:
    """Return ``test/*``: what the test split gave at validation's threshold; nothing before the end."""
    read = trial.held_out
    if read is None:
        return {}
    return {f"test/{name}": value for name, value in read.metrics.items()} | {"test/score": read.score}


def verdict_tags(verdict: SweepVerdict) -> Mapping[str, object]:
    """Return the verdict on the leader that its sentence is about, for the sweep's row."""
    leader = verdict.headline
    low, high = _interval(verdict)
    return {
        "verdict": leader.judged.verdict,
        "verdict.trial": leader.scores.arm.trial,
        "verdict.difference": signed(_difference(verdict)),
        "verdict.interval": f"{signed(low)} to {signed(high)}",
        "verdict.seeds": len(leader.judged.difference.values),
        "verdict.complete": str(verdict.complete).lower(),
    }


def verdict_figures(verdict: SweepVerdict) -> dict[str, float]:
    """Return ``confirmed/*``, the same as numbers; an interval of one seed is not finite."""
    low, high = _interval(verdict)
    return {
        "confirmed/score": verdict.headline.scores.summary.mean,
        "confirmed/control": verdict.control.summary.mean,
        "confirmed/difference": _difference(verdict),
        "confirmed/difference_low": low,
        "confirmed/difference_high": high,
        "confirmed/seeds": float(len(verdict.headline.judged.difference.values)),
    }


def arms_table(verdict: SweepVerdict, control: str) -> tuple[tuple[str, ...], ...]:
    """Return a row an arm, under the headings of `TABLE`; ``control`` says what was confirmed as it."""
    return tuple(_row(verdict, scores, control) for scores in verdict.arms)


def _row(verdict: SweepVerdict, scores: ArmScores, control: str) -> tuple[str, ...]:
    arm, summary = scores.arm, scores.summary
    name, difference = arm_label(arm), between(scores, verdict.control, verdict.sign)
    if arm.role is Role.CONTROL:
        name, difference = f"the control, {control}", None
    return (
        name,
        number(summary.mean if scores.values else None),
        number(summary.deviation),
        str(len(scores.values)),
        signed(None if difference is None else verdict.sign * difference.mean),
    )


def _difference(verdict: SweepVerdict) -> float:
    return verdict.sign * verdict.headline.judged.difference.mean


def _interval(verdict: SweepVerdict) -> tuple[float, float]:
    low, high = sorted(verdict.sign * end for end in verdict.headline.judged.interval)
    return low, high


def _arms(trial: TrialHistory, sweep: SweepHistory) -> tuple[Arm, ...]:
    return sweep.confirmation.plan.arms_of(trial) if sweep.confirmation is not None else ()


def _seed(trial: TrialHistory) -> int:
    return (trial.confirms or 0) + 1


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
