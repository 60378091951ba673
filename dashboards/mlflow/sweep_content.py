"""What MLflow is to show of a sweep in its own run: its settings, its standing result and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lossweep.dashboards.mlflow.confirmed import TABLE, arms_table, verdict_figures, verdict_tags
from lossweep.dashboards.mlflow.content import (
    NAME_LENGTH,
    PARAMETER_LENGTH,
    ROLE_TAG,
    SWEEP_ID_TAG,
    SWEEP_TAG,
    TAG_LENGTH,
    Point,
    RunContent,
    best_points,
    milliseconds,
    points_of,
    spec_of,
    sweep_id,
    texts,
    use_case,
)
from lossweep.dashboards.mlflow.internals.names import NOTE_TAG, RUN_NAME_TAG
from lossweep.dashboards.numbers import number
from lossweep.dashboards.result import SweepResult, confirmed_control, metric_words, sweep_result, trial_label
from lossweep.search.pruning import audit
from lossweep.search.running.existing import CHANGEABLE
from lossweep.search.study.history import SweepHistory
from lossweep.spaces.metrics import shown_in


def sweep_content(sweep: SweepHistory) -> RunContent:
    """Return the parent run of a sweep as it stands."""
    spec, result = spec_of(sweep), sweep_result(sweep)
    # What a resumed sweep may change goes into tags: MLflow never changes a parameter.
    settled = {key: value for key, value in spec.items() if key not in CHANGEABLE}
    params = dict(flatten(settled))
    params |= {"objective": sweep.objective, "metric": sweep.metric, "direction": sweep.direction}
    tags: dict[str, object] = dict(flatten({key: spec[key] for key in CHANGEABLE if key in spec}))
    tags |= {
        SWEEP_TAG: sweep.name,
        SWEEP_ID_TAG: sweep_id(sweep),
        ROLE_TAG: "sweep",
        "state": sweep.state,
        "use_case": use_case(sweep),
        "data": sweep.data_fingerprint,
        "lossweep.version": sweep.code_version,
        RUN_NAME_TAG: f"sweep {sweep.name}",
        "control": result.control_named,
        NOTE_TAG: description(sweep, result),
    }
    tags |= verdict_tags(result.verdict) if result.verdict is not None else {}
    statuses = {"running": "RUNNING", "failed": "FAILED", "interrupted": "KILLED"}
    ends = [trial.ended for trial in sweep.recorded if trial.ended]
    started = milliseconds(sweep.created, sweep.created)
    ended = milliseconds(max(ends), sweep.created) if ends else started
    done = sum(trial.outcome.is_final for trial in sweep.recorded)
    return RunContent(
        name=f"sweep {sweep.name}"[:NAME_LENGTH],
        status=statuses.get(sweep.state, "FINISHED"),
        tags=texts(tags, TAG_LENGTH),
        params=texts(params, PARAMETER_LENGTH),
        points=_standing_points(sweep, result, done, ended),
        started=started,
        ended=None if sweep.state == "running" else ended,
    )


def _standing_points(sweep: SweepHistory, result: SweepResult, done: int, at: int) -> tuple[Point, ...]:
    """Return the winner's and the control's figures, for the sweep's row; the step counts ended trials.

    Those of the verdict stand apart, ``confirmed/*``: they are means over seeds on the test split.
    """
    epochs = sweep.epochs
    figures: dict[str, float] = {"epochs/requested": epochs.requested, "epochs/trained": epochs.trained}
    if result.winner is not None:
        figures |= {p.key: p.value for p in best_points(result.winner, sweep) if p.key != "best/step"}
    if result.control is not None and result.control.score is not None:
        figures["control/score"] = result.control.score
    if result.difference is not None:
        figures["best/above_control"] = result.difference
    if result.verdict is not None:
        figures |= verdict_figures(result.verdict)
    return points_of(figures, at, done)


def description(sweep: SweepHistory, result: SweepResult | None = None) -> str:
    """Return the parent run's Markdown: the standing result first, then how many trials ended how."""
    result = result or sweep_result(sweep)
    lines = [f"**{_plain(result.sentence())}**", ""]
    if result.verdict is not None:
        lines += [f"{_plain(metric_words(result.verdict.held_out))} on the test split, over fresh seeds:", ""]
        lines += [_cells(TABLE), _cells(["---"] * len(TABLE))]
        rows = arms_table(result.verdict, confirmed_control(sweep))
        lines += [_cells(_plain(cell) for cell in row) for row in rows]
        lines += ["", "In the search, on the validation split, one seed each:", ""]
    shown = [trial for trial in (result.control, sweep.contender()) if trial is not None]
    if shown:
        lines += [
            f"| | {_plain(sweep.metric)} | P / R / F1 at 0.5 | P / R / F1 tuned | AP | schedule |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
    for trial in shown:
        evaluation = trial.shown
        figures: Mapping[str, float] = evaluation.metrics if evaluation else {}
        fixed, tuned = (
            " / ".join(number(figures.get(metric.name)) for metric in metrics)
            for metrics in (shown_in("table", "pixel"), shown_in("table", "tuned"))
        )
        schedule = _plain(str(trial.schedule)[:300])
        named = f": {result.control_named}" if trial is result.control else ""
        label = f"{trial_label(trial)}{named}"
        lines.append(
            f"| {_plain(label)} | {number(trial.score)} | {fixed} | {tuned} "
            f"| {number(figures.get('ap'))} | `{schedule}` |"
        )
    counts = ", ".join(f"{count} {kind}" for kind, count in sweep.counts().items() if count)
    lines += ["", f"Trials: {counts or 'none yet'} of {sweep.budget}.", ""]
    if (confirmation := sweep.confirmation) is not None:
        lines += [f"Confirmation: {confirmation.done} of {confirmation.planned} trainings.", ""]
    pruner = audit(sweep)
    if pruner.pruned or pruner.spared:
        lines += [str(pruner), ""]
    lines.append(
        f"Objective: {_plain(sweep.objective)}. The artifact `report.html` shows the sweep in figures."
    )
    return "\n".join(lines)


def flatten(data: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the leaves of nested data with dotted keys; short lists stay one leaf."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, data


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Keep user text from being read as Markdown or HTML, or from ending a table's cell."""
    text = " ".join(text.split())
    for found, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'")):
        text = text.replace(found, written)
    return text
