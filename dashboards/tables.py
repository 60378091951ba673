"""What the commands print of a sweep: leaderboard, status, why and list, as rich renderables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dashboards.sparkline import sparkline
from dashboards.standing import scored_evaluation, standing
from search.history import SweepHistory, TrialHistory
from search.outcomes import OutcomeKind

STYLES: Mapping[OutcomeKind, str] = {
    OutcomeKind.COMPLETED: "green",
    OutcomeKind.RUNNING: "blue",
    OutcomeKind.PRUNED: "yellow",
    OutcomeKind.DIVERGED: "magenta",
    OutcomeKind.FAILED: "red",
    OutcomeKind.INTERRUPTED: "dim",
}

_FIGURES = (
    ("P", "precision"),
    ("R", "recall"),
    ("F1", "f1"),
    ("P tuned", "tuned_precision"),
    ("R tuned", "tuned_recall"),
    ("F1 tuned", "tuned_f1"),
    ("AP", "ap"),
)


def leaderboard(history: SweepHistory, most: int = 10) -> RenderableType:
    """Return the best trials; the control's row stands right under the best, whatever its rank."""
    ranked = list(enumerate(history.ranked(), start=1))
    control = history.control()
    rows = ranked[:most]
    if control is not None and ranked and ranked[0][1] is not control:
        beside = next(row for row in ranked if row[1] is control)
        rows = [rows[0], beside, *(row for row in rows[1:] if row is not beside)]
    table = Table(box=None, pad_edge=False, header_style="dim", expand=False)
    table.add_column("rank", justify="right")
    table.add_column("trial", justify="right")
    table.add_column("outcome")
    table.add_column(history.metric, justify="right", style="bold")
    table.add_column("vs control", justify="right")
    for title, _ in _FIGURES:
        table.add_column(title, justify="right")
    table.add_column("schedule", overflow="fold")
    for rank, trial in rows:
        evaluation = scored_evaluation(history, trial)
        metrics: Mapping[str, float] = evaluation.metrics if evaluation else {}
        name = Text(f"control {trial.control}: " if trial.control else "", style="red")
        table.add_row(
            str(rank),
            f"#{trial.number}",
            outcome(trial),
            number(trial.score),
            _difference(trial, control),
            *(number(metrics.get(key)) for _, key in _FIGURES),
            name + Text(str(trial.schedule)),
        )
    note = Text(standing(history).sentence())
    return Group(note, Text(), table) if rows else note


def status(history: SweepHistory, most: int = 5) -> RenderableType:
    """Return how far a sweep is, what runs, and who leads."""
    done = sum(trial.outcome.is_final for trial in history.trials)
    head = Text.assemble(
        (history.name, "bold"), f"  {history.state}  {done}/{history.budget_trials} trials  ", tally(history)
    )
    parts: list[RenderableType] = [head, Text(f"objective: {history.objective}", style="dim"), Text()]
    running = [trial for trial in history.trials if trial.outcome is OutcomeKind.RUNNING]
    if running:
        parts += [running_table(running), Text()]
    parts.append(leaderboard(history, most))
    return Group(*parts)


def running_table(trials: Sequence[TrialHistory]) -> Table:
    """Return the running trials with their phase and the course of recall, precision and F1 at 0.5."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("trial", "epoch", "phase", "recall", "precision", "F1", "AP"):
        table.add_column(title, no_wrap=True)
    for trial in trials:
        last = trial.evaluations[-1] if trial.evaluations else None
        cells = [f"#{trial.number}", f"{last.epoch}/{last.epochs}" if last else "starting"]
        cells.append(f"{last.loss_name[:32]} (cycle {last.cycle + 1})" if last else str(trial.schedule)[:40])
        row: list[RenderableType] = [Text(cell) for cell in cells]
        for name, style in (("recall", "blue"), ("precision", "dark_orange"), ("f1", ""), ("ap", "green")):
            values = [e.metrics[name] for e in trial.evaluations if name in e.metrics]
            row.append(Text(f"{sparkline(values)} {values[-1]:.2f}" if values else "–", style=style))
        table.add_row(*row)
    return table


def why(history: SweepHistory, number_: int) -> RenderableType:
    """Return all that is known of one trial: proposal, evaluations, each decision with its figures, its end.

    Raises:
        KeyError: the sweep has no trial of that number.
    """
    trial = next((trial for trial in history.trials if trial.number == number_), None)
    if trial is None:
        raise KeyError(number_)
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    rows = [
        ("schedule", str(trial.schedule)),
        ("proposed as", f"control {trial.control}" if trial.control else "a proposal of the sampler"),
        ("seed", str(trial.seed)),
        (history.metric, number(trial.score) + ("" if trial.feasible else " (misses a constraint)")),
        ("reason", trial.reason or "–"),
        ("GPU-seconds", f"{trial.gpu_seconds:.1f}"),
    ]
    rows += [
        (name, f"{value:.4g}" if isinstance(value, float) else str(value))
        for name, value in trial.parameters.items()
    ]
    for name, value in rows:
        facts.add_row(Text(name), Text(value))
    parts: list[RenderableType] = [
        Text.assemble((f"Trial {trial.number}", "bold"), "  ", outcome(trial)),
        facts,
    ]
    if trial.evaluations:
        parts += [Text(), Text("Evaluations", style="bold"), _evaluations(trial)]
    if trial.decisions:
        parts += [Text(), Text("Decisions", style="bold"), _decisions(trial)]
    if trial.traceback:
        parts += [Text(), Text(trial.traceback, style="red")]
    return Group(*parts)


def sweeps(histories: Iterable[SweepHistory]) -> RenderableType:
    """Return one line a sweep."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("sweep", "state", "trials", "ends", "objective", "best", "vs control", "created (UTC)"):
        table.add_column(title)
    for history in histories:
        result = standing(history)
        done = sum(trial.outcome.is_final for trial in history.trials)
        table.add_row(
            Text(history.name, style="bold"),
            history.state,
            f"{done}/{history.budget_trials}",
            tally(history),
            Text(history.objective),
            number(result.winner.score if result.winner else None),
            "–" if result.difference is None else f"{result.difference:+.3f}",
            f"{history.created:%Y-%m-%d %H:%M}",
        )
    return table if table.row_count else Text("No sweeps here yet.")


def tally(history: SweepHistory) -> Text:
    """Return how many trials ended how, coloured."""
    counts = history.counts()
    parts = [
        (f"{counts[kind.value]} {kind.value}", STYLES[kind]) for kind in OutcomeKind if counts[kind.value]
    ]
    return Text("  ").join(Text(words, style=style) for words, style in parts)


def outcome(trial: TrialHistory) -> Text:
    """Return a trial's outcome, coloured."""
    return Text(trial.outcome.value, style=STYLES[trial.outcome])


def number(value: float | None) -> str:
    """Return a figure with three decimals, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def _difference(trial: TrialHistory, control: TrialHistory | None) -> str:
    if control is None or trial is control or control.score is None or trial.score is None:
        return "–"
    return f"{trial.score - control.score:+.3f}"


def _evaluations(trial: TrialHistory) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("step", "epoch", "cycle", "phase", *(title for title, _ in _FIGURES)):
        table.add_column(title, justify="left" if title == "phase" else "right")
    for evaluation in trial.evaluations:
        table.add_row(
            str(evaluation.step),
            str(evaluation.epoch),
            str(evaluation.cycle + 1),
            Text(f"{evaluation.loss_name} at {evaluation.learning_rate:.2g}"),
            *(number(evaluation.metrics.get(key)) for _, key in _FIGURES),
        )
    return table


def _decisions(trial: TrialHistory) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("step", "action", "reason", "figures"):
        table.add_column(title, overflow="fold")
    for decision in trial.decisions:
        figures = ", ".join(f"{name}={value:.4g}" for name, value in decision.figures.items())
        table.add_row(str(decision.step), decision.action, Text(decision.reason), Text(figures))
    return table
