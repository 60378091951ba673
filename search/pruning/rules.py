"""The pruning rules: successive halving by share of the budget, the median, none, and patience.

A rule is a pure function of the curves observed so far, so the same observations in the same order give the
same decisions, in a resumed driver too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from lossweep.search.pruning.curves import Curve


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule says of a trial at its newest evaluation.

    Attributes:
        prune: whether to end it.
        reason: one sentence.
        figures: the numbers compared; the metric's as oriented by the rule's caller.
    """

    prune: bool
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)


class Rule(Protocol):
    """A relative rule."""

    def judge(self, trial: Curve, peers: Collection[Curve]) -> Judgement:
        """Judge a trial at its newest evaluation. ``peers`` are the other trials, in whatever state."""


class RuleSettings(Protocol):
    """What a named rule may be set by: `search.pruning.spec.PruningSpec`."""

    @property
    def rungs(self) -> tuple[float, ...]:
        """Shares of the budget, rising."""

    @property
    def keep(self) -> float:
        """The share of the trials that goes on."""

    @property
    def min_peers(self) -> int:
        """Other trials that must have come as far."""


RULES: Final[dict[str, Callable[[RuleSettings], Rule]]] = {}
"""The named rules, each by how it is built; what stands here may stand under ``pruning.pruner``."""


def named(name: str) -> Callable[[Callable[[RuleSettings], Rule]], Callable[[RuleSettings], Rule]]:
    """Register how a rule is built under the name that a sweep file has for it."""

    def register(build: Callable[[RuleSettings], Rule]) -> Callable[[RuleSettings], Rule]:
        RULES[name] = build
        return build

    return register


class NoPruning:
    """Lets every trial use its whole budget."""

    def judge(self, trial: Curve, peers: Collection[Curve]) -> Judgement:
        """Let it go on."""
        return Judgement(False, "nothing is pruned")


class Rungs:
    """Asynchronous successive halving by share of the budget, in its stopping form (Li et al., MLSys 2020).

    When a trial passes a rung it goes on if its running best is among the best ``keep`` of all trials that
    have come as far, itself included. A trial that cannot be compared when it passes a rung is compared at
    the next evaluation at which it can, with what its peers had at *that* share.
    """

    def __init__(self, rungs: Sequence[float], keep: float, min_peers: int) -> None:
        self._rungs = tuple(rungs)
        self._keep = keep
        self._min_peers = min_peers

    def judge(self, trial: Curve, peers: Collection[Curve]) -> Judgement:
        """Compare the trial when it has passed a rung since it was last comparable."""
        if not trial.comparable[-1]:
            return Judgement(False, "in mid-cycle: not compared")
        since = trial.compared_before
        rung = max((r for r in self._rungs if since < r <= trial.share), default=None)
        if rung is None or trial.share >= 1.0:
            return Judgement(False, "no rung passed")
        own = trial.bests[-1]
        others = _values(peers, trial.share)
        if len(others) < self._min_peers:
            return Judgement(
                False, f"too few peers at rung {rung:g}", {"rung": rung, "peers": float(len(others))}
            )
        ranked = sorted((*others, own), reverse=True)
        kept = max(1, math.floor(round(self._keep * len(ranked), 6)))  # .29 of 100 is 28.999… in floats
        cutoff = ranked[kept - 1]
        better = sum(value > own for value in others)
        figures = {
            "rung": rung,
            "share": trial.share,
            "own": own,
            "cutoff": cutoff,
            "rank": better + 1.0,
            "peers": float(len(others)),
        }
        place = f"rank {better + 1} of {len(ranked)} at rung {rung:g}"
        if own < cutoff:
            return Judgement(True, f"{place}: {abs(own):.4g} against a cutoff of {abs(cutoff):.4g}", figures)
        return Judgement(False, place, figures)


class BelowMedian:
    """Ends a trial below the median of its peers' running bests at its share (Golovin et al., KDD 2017)."""

    def __init__(self, first: float, min_peers: int) -> None:
        self._first = first
        self._min_peers = min_peers

    def judge(self, trial: Curve, peers: Collection[Curve]) -> Judgement:
        """Compare the trial whenever it can be compared, from the first share on."""
        if not trial.comparable[-1]:
            return Judgement(False, "in mid-cycle: not compared")
        if not self._first <= trial.share < 1.0:
            return Judgement(False, "not compared at this share")
        own = trial.bests[-1]
        others = _values(peers, trial.share)
        if len(others) < self._min_peers:
            return Judgement(False, "too few peers", {"peers": float(len(others))})
        median = statistics.median(others)
        figures = {"share": trial.share, "own": own, "median": median, "peers": float(len(others))}
        if own < median:
            reason = f"{abs(own):.4g} against a median of {abs(median):.4g} of {len(others)} peers"
            return Judgement(True, reason, figures)
        return Judgement(False, "not below the median", figures)


class Patient:
    """Lets a rule end a trial only when its running best has not risen for some evaluations."""

    def __init__(self, rule: Rule, evaluations: int) -> None:
        self._rule = rule
        self._evaluations = evaluations

    def judge(self, trial: Curve, peers: Collection[Curve]) -> Judgement:
        """Ask the rule, and soften what it says."""
        judgement = self._rule.judge(trial, peers)
        if not judgement.prune or trial.stagnant() >= self._evaluations:
            return judgement
        figures = {**judgement.figures, "stagnant": float(trial.stagnant())}
        return Judgement(False, f"{judgement.reason}, but still improving", figures)


def _values(peers: Collection[Curve], share: float) -> list[float]:
    return [value for peer in peers if (value := peer.best_at(share)) is not None]


@named("rungs")
def _rungs(settings: RuleSettings) -> Rule:
    return Rungs(settings.rungs, settings.keep, settings.min_peers)


@named("median")
def _median(settings: RuleSettings) -> Rule:
    return BelowMedian(settings.rungs[0], settings.min_peers)


@named("none")
def _none(settings: RuleSettings) -> Rule:
    return NoPruning()
