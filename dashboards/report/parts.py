"""The report's parts that are words and tables, as HTML. Every word that a user wrote is escaped here."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from lossweep.dashboards.families import family_color, short_name
from lossweep.dashboards.report.overlays import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, OverlayTile
from lossweep.dashboards.report.plots.stopped import stop_rule, stop_step
from lossweep.dashboards.result import (
    SweepResult,
    control_label,
    metric_words,
    stopped,
    trial_label,
)
from lossweep.search.pruning import audit, spared
from lossweep.search.study.front import front_of, objective_of
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.losses.terms import family
from lossweep.spaces.metrics import Group, shown_in

ROWS: Final[tuple[tuple[str, Group], ...]] = (("at 0.5", "pixel"), ("tuned", "tuned"))
"""Of a card's table, and which metrics stand in them."""

FIRST_ROWS = 12
"""Rows of a long table that are shown before one asks for the rest."""


def headline(history: SweepHistory, result: SweepResult) -> str:
    """Return the first thing a person reads: winner, control, difference, and how sure that is."""
    metric = html.escape(metric_words(history.metric))
    contender = history.contender() if result.control_wins else result.winner
    cards = [
        _card("runner-up" if result.control_wins else "winner", contender_words(history), contender, history),
        _card(
            "control", "Control, and winner" if result.control_wins else "Control", result.control, history
        ),
    ]
    difference = _difference(contender, result.control)
    if difference is not None:
        better = (difference > 0) == (history.direction == "maximize") and difference != 0
        spread = "one seed, no spread yet"
        figure = f"{difference:+.3f}"
        if result.confirmed is not None and not result.control_wins:
            mean, deviation = result.confirmed.difference
            figure, spread = (
                f"{mean:+.3f} ± {deviation:.3f}",
                f"{len(result.confirmed.winner)} seeds, test split",
            )
        cards.insert(
            1,
            f'<div class="card difference {"good" if better else "bad"}"><h3>Difference</h3>'
            f'<p class="score">{figure}</p><p class="muted">{metric}, {spread}</p></div>',
        )
    counts = history.counts()
    chips = "".join(
        f'<span class="chip {kind.value}"><b>{counts[kind.value]}</b> {kind.value}</span>'
        for kind in OutcomeKind
        if counts[kind.value]
    )
    return (
        f'<p class="sentence" id="sentence">{html.escape(result.sentence())}</p>'
        f'<div class="cards">{"".join(cards)}</div>'
        f'<p class="chips">{chips}<span class="muted">of {history.budget_trials} trials, '
        f"{history.budget_epochs} epochs each; {html.escape(history.state)}. "
        f"Objective: {html.escape(history.objective)}.</span></p>"
    )


def leaderboard(history: SweepHistory, result: SweepResult) -> str:
    """Return the ranked trials; the control stands right beside the best, whatever its rank."""
    ranked = history.ranked()
    if not ranked:
        return '<p class="empty">No trial has a score yet.</p>'
    control = result.control
    rows = [(rank, trial) for rank, trial in enumerate(ranked, start=1)]
    if control is not None and ranked[0] is not control:
        beside = next(row for row in rows if row[1] is control)
        rows = [rows[0], beside, *(row for row in rows[1:] if row is not beside)]
    head = (
        "<thead><tr><th colspan=5></th><th colspan=3 class=group>at threshold 0.5</th>"
        "<th colspan=4 class=group>at the tuned threshold</th><th></th></tr>"
        f"<tr><th>rank</th><th>trial</th><th class=wide>schedule</th>"
        f"<th title='{html.escape(metric_words(history.metric))}'>score</th>"
        "<th title='difference to the control'>vs control</th>"
        "<th>P</th><th>R</th><th>F1</th><th>P</th><th>R</th><th>F1</th><th>obj. F1</th><th>AP</th>"
        "</tr></thead>"
    )
    body = "".join(
        _leaderboard_row(history, rank, trial, control, hidden=position >= FIRST_ROWS)
        for position, (rank, trial) in enumerate(rows)
    )
    return _table("leaderboard-table", head, body, len(rows))


def pareto_front(history: SweepHistory) -> str:
    """Return the trials that no other beats in every metric; nothing with one objective."""
    front = front_of(history)
    if not front:
        return ""
    names = "".join(f"<th>{html.escape(metric_words(name))}</th>" for name in objective_of(history).names)
    rows = "".join(
        f'<tr class="pick{" more" if position >= FIRST_ROWS else ""}" data-trial="{trial.number}">'
        f"<td class=number>#{trial.number}</td><td class=wide>{_schedule(trial)}</td>"
        + "".join(f"<td class=number>{_number(value)}</td>" for value in trial.values)
        + "</tr>"
        for position, trial in enumerate(front)
    )
    head = f"<thead><tr><th>trial</th><th class=wide>schedule</th>{names}</tr></thead>"
    title = "<h3>Pareto front: no trial is better than these in every metric</h3>"
    return title + _table("front-table", head, rows, len(front))


def stopped_table(history: SweepHistory) -> str:
    """Return what was stopped, when, by which rule, and why in its own sentence."""
    trials = stopped(history)
    if not trials:
        return '<p class="empty">Nothing was stopped.</p>'
    tally: dict[tuple[str, str], int] = {}
    for trial in trials:
        key = (trial.outcome.value, stop_rule(trial))
        tally[key] = tally.get(key, 0) + 1
    chips = "".join(
        f'<span class="chip {outcome}"><b>{count}</b> {outcome}'
        f"{'' if rule in ('pruner', 'error') else ': ' + html.escape(rule)}</span>"
        for (outcome, rule), count in sorted(tally.items(), key=lambda item: -item[1])
    )
    order = {OutcomeKind.FAILED: 0, OutcomeKind.DIVERGED: 1, OutcomeKind.PRUNED: 2}
    rows = "".join(
        f'<tr class="pick{" more" if position >= FIRST_ROWS else ""}" data-trial="{trial.number}">'
        f"<td class=number>#{trial.number}</td><td>{_outcome(trial)}</td>"
        f"<td>{html.escape(stop_rule(trial))}</td>"
        f"<td class=number>{'–' if stop_step(trial) is None else stop_step(trial)}</td>"
        f"<td class=why>{html.escape(trial.reason)}</td><td class=wide>{_schedule(trial)}</td></tr>"
        for position, trial in enumerate(sorted(trials, key=lambda t: (order[t.outcome], t.number)))
    )
    head = (
        "<thead><tr><th>trial</th><th>outcome</th><th>by</th><th>step</th><th class=why>why</th>"
        "<th class=wide>schedule</th></tr></thead>"
    )
    return f'<p class="chips">{chips}</p>{_table("stopped-table", head, rows, len(trials))}'


def pruner_audit(history: SweepHistory) -> str:
    """Return how often the pruner would have been wrong, and on which trials it was tested."""
    found = audit(history)
    if not found.pruned and not found.spared:
        return ""
    tested = [trial for trial in history.trials if spared(trial)]
    tags = "".join(
        f'<span class="chip {trial.outcome.value}">'
        f'<button type="button" class="link pick" data-trial="{trial.number}">#{trial.number}</button> '
        f"{trial.outcome.value} {_number(trial.score)}</span>"
        for trial in tested
    )
    chips = f'<p class="chips">Let go on as a test: {tags}</p>' if tested else ""
    return (
        f'<h3>How often was the pruner wrong?</h3><p id="pruner-audit">{html.escape(str(found))}</p>{chips}'
    )


def trial_choice(history: SweepHistory, shown: TrialHistory | None) -> str:
    """Return the list to choose a trial from: ranked ones first, best on top, then the others."""
    ranked = list(history.ranked())
    seen = {trial.number for trial in ranked}
    ordered = ranked + [trial for trial in history.trials if trial.number not in seen]
    options = []
    for trial in ordered:
        score = f"{trial.score:.3f}" if trial.score is not None else "no score"
        mark = f" · control {trial.control}" if trial.control else ""
        mark += "" if trial.outcome is OutcomeKind.COMPLETED else f" · {trial.outcome.value}"
        line = f"#{trial.number} · {score}{mark} · {str(trial.schedule)[:90]}"
        chosen = " selected" if shown is not None and trial.number == shown.number else ""
        options.append(f'<option value="{trial.number}"{chosen}>{html.escape(line)}</option>')
    return "".join(options)


def contender_words(history: SweepHistory) -> str:
    """Return what the trial that is held against the control is: the winner, or the best behind it."""
    contender, winner = history.contender(), history.winner()
    if contender is winner:
        return "Winner"
    return "Best other control" if contender is not None and contender.control else "Best proposal"


def overlay_gallery(tiles: Sequence[OverlayTile], ours: str = "winner") -> str:
    """Return two trials side by side on the same validation tiles, with the key to the colours.

    Args:
        tiles: pairs of pictures.
        ours: what the trial is that is held against the control.
    """
    if not tiles:
        why = "they need the checkpoints of two completed trials, one of them the control"
        return f'<p class="empty">No overlays here: {why}.</p>'
    key = "".join(
        f'<span class="key"><i style="background:rgb{color}"></i>{name}</span>'
        for name, color in (
            ("found (true positive)", TRUE_POSITIVE),
            ("false alarm (false positive)", FALSE_POSITIVE),
            ("missed (false negative)", FALSE_NEGATIVE),
        )
    )
    figures = "".join(
        f'<div class="pair"><h4>{html.escape(tile.name)}</h4><div class="both">'
        f"{_picture('control', tile.control, tile.control_counts)}"
        f"{_picture(ours, tile.winner, tile.winner_counts)}</div></div>"
        for tile in tiles
    )
    return f'<p class="chips">{key}</p><div class="gallery">{figures}</div>'


def schedule_file(export: str | None, history: SweepHistory) -> str:
    """Return the winner's schedule file with a copy button."""
    if not export:
        return '<p class="empty">No winner yet, so nothing to export.</p>'
    return (
        f"<p>Save it as <code>best.yaml</code>, or run <code>lossweep export {html.escape(history.name)}"
        " -o best.yaml</code>.</p>"
        '<div class="file"><button type="button" class="copy" data-target="schedule-yaml">Copy</button>'
        f'<pre id="schedule-yaml" tabindex="0">{html.escape(export)}</pre></div>'
    )


def provenance(history: SweepHistory) -> str:
    """Return what the sweep was run on and with."""
    classes = "".join(
        f"<tr><td>{html.escape(name)}</td><td class=number>{share:.3%}</td></tr>"
        for name, share in zip(history.prior.names, history.prior.frequencies, strict=True)
    )
    facts = (
        ("Created", f"{history.created:%Y-%m-%d %H:%M} UTC"),
        ("Report built", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("Data", history.data_fingerprint or "–"),
        ("lossweep", history.code_version or "–"),
    )
    lines = "".join(f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in facts)
    return (
        f'<div class="facts"><table class="plain">{lines}</table>'
        '<table class="plain" id="classes"><thead><tr><th>class</th>'
        "<th>share of training pixels</th></tr></thead>"
        f"{classes}</table></div>"
        '<details><summary>The sweep file</summary><div class="file">'
        '<button type="button" class="copy" data-target="sweep-yaml">Copy</button>'
        f'<pre id="sweep-yaml" tabindex="0">{html.escape(history.spec_yaml)}</pre></div></details>'
    )


def _card(role: str, title: str, trial: TrialHistory | None, history: SweepHistory) -> str:
    if trial is None:
        none = '<p class="score">–</p><p class="muted">none yet</p>'
        return f'<div class="card {role}"><h3>{title}</h3>{none}</div>'
    evaluation = trial.shown
    metrics = evaluation.metrics if evaluation else {}
    name = control_label(trial) if role == "control" else trial_label(trial)
    rows = "".join(
        f"<tr><th>{label}</th>"
        + "".join(f"<td>{_number(metrics.get(metric.name))}</td>" for metric in shown_in("table", group))
        + "</tr>"
        for label, group in ROWS
    )
    link = f'<button type="button" class="link pick" data-trial="{trial.number}">#{trial.number}</button>'
    return (
        f'<div class="card {role}"><h3>{title} {link}</h3><p class="score">{_number(trial.score)}</p>'
        f'<p class="muted">{html.escape(metric_words(history.metric))}, {html.escape(name)}</p>'
        f"{_schedule(trial)}"
        f"<table class=small><tr><th></th><th>P</th><th>R</th><th>F1</th></tr>{rows}</table></div>"
    )


def _difference(trial: TrialHistory | None, control: TrialHistory | None) -> float | None:
    if trial is None or control is None or trial is control or trial.score is None or control.score is None:
        return None
    return trial.score - control.score


def _leaderboard_row(
    history: SweepHistory, rank: int, trial: TrialHistory, control: TrialHistory | None, hidden: bool
) -> str:
    evaluation = trial.shown
    metrics = evaluation.metrics if evaluation else {}
    classes = ["pick"] + ["more"] * hidden + ["is-control"] * (trial.control is not None)
    above = _difference(trial, control)
    difference = "–" if above is None else f"{above:+.3f}"
    infeasible = "" if trial.feasible else " <small>infeasible</small>"
    cells = [
        f"<td class=number>{rank}</td>",
        f"<td class=nowrap>#{trial.number} {_outcome(trial)}{infeasible}</td>",
        f"<td class=wide>{_schedule(trial)}</td>",
        f'<td class="number strong">{_number(trial.score)}</td>',
        f"<td class=number>{difference}</td>",
    ]
    names = shown_in("table", "pixel", "tuned", "tuned_object", "curve")
    cells += [f"<td class=number>{_number(metrics.get(metric.name))}</td>" for metric in names]
    return f'<tr class="{" ".join(classes)}" data-trial="{trial.number}">{"".join(cells)}</tr>'


def _table(name: str, head: str, body: str, rows: int) -> str:
    button = ""
    if rows > FIRST_ROWS:
        button = f'<button type="button" class="show-all" data-table="{name}">Show all {rows}</button>'
    table = f'<table id="{name}" class="ranked">{head}<tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>{button}'


def _schedule(trial: TrialHistory) -> str:
    kinds = [family(phase.loss) for phase in trial.schedule.phases]
    dots = "".join(
        f'<i class="dot" style="background:{family_color(kind)}" title="{html.escape(short_name(kind))}"></i>'
        for kind in kinds[:6]
    )
    control = f"<b>{html.escape(trial.control)}</b> " if trial.control else ""
    line = html.escape(str(trial.schedule))
    return f'<span class="schedule">{dots}{control}<code title="{line}">{line}</code></span>'


def _outcome(trial: TrialHistory) -> str:
    return f'<span class="chip {trial.outcome.value}">{trial.outcome.value}</span>'


def _picture(role: str, png: bytes, counts: tuple[int, int, int]) -> str:
    encoded = base64.b64encode(png).decode("ascii")
    hit, alarm, miss = counts
    return (
        f'<figure><img alt="{role}: {hit} pixels found, {alarm} false alarms, {miss} missed" '
        f'src="data:image/png;base64,{encoded}"><figcaption>{role}: {hit:,} found, {alarm:,} false, '
        f"{miss:,} missed</figcaption></figure>"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
