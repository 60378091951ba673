"""Holds two sweeps against each other: what was asked, who won, and whether the comparison is fair."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import yaml

from lossweep.dashboards.mlflow.content import flatten
from lossweep.dashboards.result import SweepResult, metric_words, sweep_result
from lossweep.search.study.history import SweepHistory
from lossweep.spaces.metrics import shown_in

_FIGURES = tuple(metric.name for metric in shown_in("table"))
_MISSING = "–"


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

    def to_text(self, width: int = 80) -> str:
        """Return it as aligned lines of at most ``width`` characters; long cells are folded."""
        said = [self.verdict, *(f"Beware: {warning}" for warning in self.warnings)]
        lines = [line for words in said for line in _folded(words, width)]
        lines += ["", *_aligned([("", *self.names), *self.rows], width)]
        if self.settings:
            lines += ["", "Settings that differ", *_aligned([("", *self.names), *self.settings], width)]
        return "\n".join(lines)

    def to_html(self) -> str:
        """Return it as a page that stands alone."""

        def table(rows: tuple[tuple[str, str, str], ...]) -> str:
            head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *self.names))
            body = "".join(
                "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows
            )
            return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

        warnings = "".join(
            f"<p class=warning>Beware: {html.escape(warning)}</p>" for warning in self.warnings
        )
        title = html.escape(" and ".join(self.names))
        settings = f"<h2>Settings that differ</h2>{table(self.settings)}" if self.settings else ""
        return (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
            f"<title>{title}: lossweep comparison</title><style>{_STYLE}</style></head><body>"
            f"<h1>{title}</h1><p class=verdict>{html.escape(self.verdict)}</p>{warnings}"
            f"{table(self.rows)}{settings}"
            "</body></html>"
        )


def build_comparison(first: SweepHistory, second: SweepHistory) -> Comparison:
    """Compare two sweeps: their winners, controls and gains, and each reason to distrust it."""
    results = sweep_result(first), sweep_result(second)
    sweeps = first, second
    rows: list[tuple[str, str, str]] = [
        _row("state", (s.state for s in sweeps)),
        _row(
            "trials done", (f"{sum(t.outcome.is_final for t in s.trials)}/{s.budget_trials}" for s in sweeps)
        ),
        _row("ends", (", ".join(f"{n} {k}" for k, n in s.counts().items() if n) or _MISSING for s in sweeps)),
        _row("GPU-seconds", (f"{sum(t.gpu_seconds for t in s.trials):.0f}" for s in sweeps)),
        _row("metric", (s.metric for s in sweeps)),
        _row("winner", (f"#{r.winner.number}" if r.winner else _MISSING for r in results)),
        _row("its score", (_number(r.winner.score if r.winner else None) for r in results)),
    ]
    for name in _FIGURES:
        values = [_figure(result, name) for result in results]
        if any(value is not None for value in values):
            rows.append(_row(f"its {metric_words(name)}", (_number(value) for value in values)))
    rows += [
        _row("its schedule", (str(r.winner.schedule) if r.winner else _MISSING for r in results)),
        _row("control's score", (_number(r.control.score if r.control else None) for r in results)),
        _row(
            "gain over control",
            (_MISSING if r.difference is None else f"{r.difference:+.3f}" for r in results),
        ),
    ]
    warnings = _warnings(first, second)
    return Comparison(
        names=(first.name, second.name),
        rows=tuple(rows),
        settings=_settings(first, second),
        warnings=warnings,
        verdict=_verdict(sweeps, results, bool(warnings)),
    )


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
    if first.budget_trials != second.budget_trials:
        found.append(
            f"{first.budget_trials} and {second.budget_trials} trials: the best of more is better by luck"
        )
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


def _settings(first: SweepHistory, second: SweepHistory) -> tuple[tuple[str, str, str], ...]:
    left, right = (dict(flatten(yaml.safe_load(sweep.spec_yaml) or {})) for sweep in (first, second))
    keys = dict.fromkeys([*left, *right])
    return tuple(
        (key, str(left.get(key, _MISSING)), str(right.get(key, _MISSING)))
        for key in keys
        if key != "name" and left.get(key) != right.get(key)
    )


def _figure(result: SweepResult, name: str) -> float | None:
    evaluation = result.winner.shown if result.winner else None
    return evaluation.metrics.get(name) if evaluation else None


def _row(what: str, values: Iterable[str]) -> tuple[str, str, str]:
    first, second = values
    return what, first, second


def _number(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.3f}"


def _aligned(rows: Sequence[tuple[str, str, str]], width: int) -> list[str]:
    titles = min(max(len(row[0]) for row in rows), 2 * width // 5)
    half = max(12, (width - titles - 4) // 2)
    first = min(half, max(len(row[1]) for row in rows))
    lines = []
    for row in rows:
        cells = zip(row, (titles, first, max(half, width - titles - first - 4)), strict=True)
        for line in zip_longest(*(_folded(cell, room) for cell, room in cells), fillvalue=""):
            lines.append(f"{line[0]:<{titles}}  {line[1]:<{first}}  {line[2]}".rstrip())
    return lines


def _folded(words: str, width: int) -> list[str]:
    return textwrap.wrap(words, width, break_on_hyphens=False) or [""]


_STYLE = """
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: #1d2733;
  max-width: 1000px; margin: 24px auto; padding: 0 16px; }
h1 { font-size: 26px; overflow-wrap: anywhere; } h2 { font-size: 18px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid #e2e7ec;
  vertical-align: top; overflow-wrap: anywhere; }
td:first-child { color: #66717f; white-space: nowrap; } .verdict { font-size: 18px; }
.warning { color: #8a4b00; }
"""
