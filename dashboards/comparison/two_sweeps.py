"""Holds two sweeps against each other: what was asked, who won, and whether the comparison is fair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from lossweep.dashboards.mlflow.sweep_content import flatten
from lossweep.dashboards.numbers import MISSING, number, signed
from lossweep.dashboards.result import SweepResult, metric_words, sweep_result
from lossweep.search.study.history import SweepHistory
from lossweep.search.verdicts.result import ArmScores, SweepVerdict
from lossweep.spaces.metrics import shown_in

_FIGURES = tuple(metric.name for metric in shown_in("table"))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sweeps side by side.

    Attributes:
        names: of the two.
        rows: ``(what, in the first, in the second)``, results first.
        settings: the sweep files' settings that differ, likewise.
        warnings: why their scores may not be comparable.
        verdict: one sentence.
    """

    names: tuple[str, str]
    rows: tuple[tuple[str, str, str], ...]
    settings: tuple[tuple[str, str, str], ...]
    warnings: tuple[str, ...]
    verdict: str


def build_comparison(first: SweepHistory, second: SweepHistory) -> Comparison:
    """Compare two sweeps: their winners, controls and gains, and each reason to distrust it."""
    results = sweep_result(first), sweep_result(second)
    sweeps = first, second
    rows: list[tuple[str, str, str]] = [
        _row("state", (s.state for s in sweeps)),
        _row("trials done", (s.progress for s in sweeps)),
        _row("ends", (", ".join(f"{n} {k}" for k, n in s.counts().items() if n) or MISSING for s in sweeps)),
        _row("GPU-seconds", (f"{sum(t.gpu_seconds for t in s.trials):.0f}" for s in sweeps)),
        _row("metric", (s.metric for s in sweeps)),
        _row("winner", (f"#{r.winner.number}" if r.winner else MISSING for r in results)),
        _row("its score", (number(r.winner.score if r.winner else None) for r in results)),
    ]
    for name in _FIGURES:
        values = [_figure(result, name) for result in results]
        if any(value is not None for value in values):
            rows.append(_row(f"its {metric_words(name)}", (number(value) for value in values)))
    rows += [
        _row("its schedule", (str(r.winner.schedule) if r.winner else MISSING for r in results)),
        _row("loss schedules tried", (str(r.tried.schedules) for r in results)),
        _row("control", (r.control_named or MISSING for r in results)),
        _row("control's score", (number(r.control.score if r.control else None) for r in results)),
        _row("gain over control", (signed(r.difference) for r in results)),
        *_confirmed(results),
    ]
    warnings = _warnings(first, second)
    return Comparison(
        names=(first.name, second.name),
        rows=tuple(rows),
        settings=_settings(first, second),
        warnings=warnings,
        verdict=_verdict(sweeps, results, bool(warnings)),
    )


def _confirmed(results: tuple[SweepResult, SweepResult]) -> Iterable[tuple[str, str, str]]:
    """Yield what fresh seeds say of each sweep's leader against its own control, where there are any."""
    verdicts = [result.verdict for result in results]
    if any(verdicts):
        columns = [_confirmed_column(verdict) for verdict in verdicts]
        for what in columns[0]:
            yield _row(what, (column[what] for column in columns))


def _confirmed_column(verdict: SweepVerdict | None) -> dict[str, str]:
    if verdict is None:
        rows = ("confirmed difference", "on the test split", "its leader's mean", "its control's mean")
        return {"verdict on its leader": "not confirmed", **dict.fromkeys(rows, MISSING)}
    leader = verdict.headline
    low, high = sorted(verdict.sign * end for end in leader.judged.interval)
    difference, seeds = leader.judged.difference, len(leader.judged.difference.values)
    return {
        "verdict on its leader": f"#{leader.scores.arm.trial}: {leader.judged.verdict}",
        "confirmed difference": f"{signed(verdict.sign * difference.mean)} "
        f"({signed(low)} to {signed(high)}, {seeds} seeds)",
        "on the test split": metric_words(verdict.held_out),
        "its leader's mean": _spread(leader.scores),
        "its control's mean": _spread(verdict.control),
    }


def _spread(scores: ArmScores) -> str:
    return f"{number(scores.summary.mean)} ± {number(scores.summary.deviation)}"


def _warnings(first: SweepHistory, second: SweepHistory) -> tuple[str, ...]:
    found = []
    if first.data_fingerprint != second.data_fingerprint:
        found.append("the data differ: compare each gain over its own control, not the scores")
    if first.metric != second.metric:
        found.append(
            f"the metrics differ ({first.metric}, {second.metric}): the scores mean different things"
        )
    if first.budget_epochs != second.budget_epochs:
        found.append(f"trials trained for {first.budget_epochs} and {second.budget_epochs} epochs")
    if (first.budget_trials, first.refills) != (second.budget_trials, second.refills):
        found.append(f"{first.budget} and {second.budget}: the best of more is better by luck")
    for sweep in (first, second):
        if sweep.state != "finished":
            found.append(f"{sweep.name} is {sweep.state}")
    return tuple(found)


def _verdict(
    sweeps: tuple[SweepHistory, SweepHistory], results: tuple[SweepResult, SweepResult], doubtful: bool
) -> str:
    winners = [result.winner for result in results]
    if any(winner is None or winner.score is None for winner in winners):
        return "At least one of the two has no winner yet: there is nothing to compare."
    if sweeps[0].metric != sweeps[1].metric:
        return "The two sweeps were scored by different metrics: their scores can't be compared."
    verdicts = [result.verdict for result in results if result.verdict is not None]
    if len(verdicts) == len(results):
        return _confirmed_verdict(sweeps, verdicts, doubtful)
    scores = [winner.score for winner in winners if winner is not None and winner.score is not None]
    sign = 1.0 if sweeps[0].direction == "maximize" else -1.0
    lead = sign * (scores[0] - scores[1])
    if lead == 0.0:
        return f"Both winners score {scores[0]:.3f}."
    better = sweeps[0].name if lead > 0 else sweeps[1].name
    caveat = (
        " But see the warnings."
        if doubtful
        else " One seed each: the difference has no spread and is unconfirmed."
    )
    return f"The winner of {better} is ahead by {abs(lead):.3f} {metric_words(sweeps[0].metric)}.{caveat}"


def _confirmed_verdict(
    sweeps: tuple[SweepHistory, SweepHistory], verdicts: Sequence[SweepVerdict], doubtful: bool
) -> str:
    """Say which leader is ahead over fresh seeds; two sweeps' seeds are no pairs: only spreads are known."""
    first, second = (verdict.headline.scores for verdict in verdicts)
    lead = verdicts[0].sign * (first.summary.mean - second.summary.mean)
    better = sweeps[0].name if lead >= 0 else sweeps[1].name
    caveat = " But see the warnings." if doubtful else ""
    return (
        f"Over fresh seeds on the test split the leader of {better} is ahead by {abs(lead):.3f} "
        f"{metric_words(verdicts[0].held_out)}: {_spread(first)} and {_spread(second)}. "
        f"What each gains over its own control stands below.{caveat}"
    )


def _settings(first: SweepHistory, second: SweepHistory) -> tuple[tuple[str, str, str], ...]:
    left, right = (dict(flatten(yaml.safe_load(sweep.spec_yaml) or {})) for sweep in (first, second))
    keys = dict.fromkeys([*left, *right])
    return tuple(
        (key, str(left.get(key, MISSING)), str(right.get(key, MISSING)))
        for key in keys
        if key != "name" and left.get(key) != right.get(key)
    )


def _figure(result: SweepResult, name: str) -> float | None:
    evaluation = result.winner.shown if result.winner else None
    return evaluation.metrics.get(name) if evaluation else None


def _row(what: str, values: Iterable[str]) -> tuple[str, str, str]:
    first, second = values
    return what, first, second
