"""What the commands print of a sweep: leaderboard, status, why and list, as rich renderables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from lossweep.dashboards.extensions import extension_sentences, extensions_heading
from lossweep.dashboards.numbers import number
from lossweep.dashboards.result import sweep_result
from lossweep.dashboards.terminal.confirmation import confirmation_table
from lossweep.dashboards.terminal.fitted_table import Column, FittedTable
from lossweep.dashboards.terminal.sparkline import sparkline
from lossweep.search.pruning import audit
from lossweep.search.study.front import front_of, objective_of
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.metrics import over_training, shown_in

STYLES: Mapping[OutcomeKind, str] = {
    OutcomeKind.COMPLETED: "green",
    OutcomeKind.RUNNING: "blue",
    OutcomeKind.PRUNED: "yellow",
    OutcomeKind.DIVERGED: "magenta",
    OutcomeKind.FAILED: "red",
    OutcomeKind.INTERRUPTED: "dim",
    OutcomeKind.PAUSED: "cyan",
}

_EXTRA: Mapping[str, int] = {"pixel": 2, "tuned": 4, "curve": 3}
"""The higher, the sooner a column is left out where there is little room."""

FIGURES = {
    metric.name: Column(metric.label + " tuned" * (metric.group == "tuned"), extra=_EXTRA[metric.group])
    for metric in shown_in("table", "pixel", "tuned", "curve")
}
"""The columns that show a trial's pixel figures, by metric."""

_CURVES = dict(zip(over_training("progress", "pixel"), ("blue", "dark_orange", ""), strict=True))
_CURVE = 12
"""Evaluations in a running trial's curve."""


def leaderboard(history: SweepHistory, most: int = 10) -> RenderableType:
    """Return the best trials; the control's row stands right under the best, whatever its rank."""
    ranked = list(enumerate(history.ranked(), start=1))
    control = history.control()
    rows = ranked[:most]
    if control is not None and ranked and ranked[0][1] is not control:
        beside = next(row for row in ranked if row[1] is control)
        rows = [rows[0], beside, *(row for row in rows[1:] if row is not beside)]
    table = FittedTable(
        Column("rank"),
        Column("trial"),
        Column("outcome", justify="left", extra=1),
        Column(history.metric, style="bold"),
        Column("vs control"),
        *FIGURES.values(),
        long="schedule",
    )
    for rank, trial in rows:
        evaluation = trial.shown
        name = Text(f"control {trial.control}: " if trial.control else "", style="red")
        table.add(
            str(rank),
            f"#{trial.number}",
            outcome(trial),
            number(trial.score),
            _difference(trial, control),
            *figures(evaluation.metrics if evaluation else {}),
            long=name + Text(str(trial.schedule)) + _shares(trial),
        )
    note = Text(sweep_result(history).sentence())
    return Group(note, Text(), table) if rows else note


def status(history: SweepHistory, most: int = 5, home: str = "") -> RenderableType:
    """Return how far a sweep is, what runs, and who leads; ``home`` is what a command needs to find it."""
    done = f"{history.state}  {history.progress} trials"
    head = Text.assemble((history.name, "bold"), f"  {done}  ", tally(history))
    parts: list[RenderableType] = [head, Text(f"objective: {history.objective}", style="dim")]
    if history.epochs.shared:
        parts.append(Text(str(history.epochs), style="dim"))
    if history.driver:
        parts.append(Text(f"driven by {history.driver}", style="dim"))
    elif history.note:
        said = history.note if history.note.startswith(history.state) else f"{history.state}: {history.note}"
        parts.append(Text(said, style="yellow"))
    if history.paused and not history.driver:
        waiting = f"{history.paused} paused: they go on if their peers turn out no better, else end as pruned"
        parts.append(Text(waiting, style="dim"))
    parts.append(Text())
    running = [trial for trial in history.recorded if trial.outcome is OutcomeKind.RUNNING]
    if running:
        parts += [running_table(running), Text()]
    parts.append(leaderboard(history, most))
    parts += [*confirmation_table(history), *extended_trials(history, home)]
    return Group(*parts, *pareto_front(history), *pruner_audit(history))


def extended_trials(history: SweepHistory, home: str = "") -> tuple[RenderableType, ...]:
    """Return what is to be said of trials with more epochs, under an empty line; nothing without any."""
    if not history.extensions:
        return ()
    lines = (Text(sentence) for sentence in extension_sentences(history, home))
    return (Text(), Text(extensions_heading(history)), Text(), *lines)


def pareto_front(history: SweepHistory) -> tuple[RenderableType, ...]:
    """Return the trials no other beats in every metric, under an empty line; nothing with one objective."""
    front = front_of(history)
    if not front:
        return ()
    table = FittedTable(
        Column("trial"),
        *(Column(name, style="bold") for name in objective_of(history).names),
        long="schedule",
    )
    for trial in front:
        name = Text(f"control {trial.control}: " if trial.control else "", style="red")
        table.add(f"#{trial.number}", *map(number, trial.values), long=name + Text(str(trial.schedule)))
    return (Text(), Text("Pareto front: no trial is better than these in every metric"), Text(), table)


def pruner_audit(history: SweepHistory) -> tuple[RenderableType, ...]:
    """Return how often the pruner would have been wrong, under an empty line; nothing if it ended nothing."""
    found = audit(history)
    return (Text(), Text(str(found), style="dim")) if found.pruned or found.spared else ()


def running_table(trials: Sequence[TrialHistory]) -> RenderableType:
    """Return the running trials: the course of recall, precision and F1 at 0.5, and the phase they are in."""
    table = FittedTable(
        Column("trial"),
        Column("epoch"),
        *(Column(metric.noun, justify="left", style=style) for metric, style in _CURVES.items()),
        Column("AP", extra=1),
        long="phase",
        least=30,
    )
    for trial in trials:
        last = trial.evaluations[-1] if trial.evaluations else None
        table.add(
            f"#{trial.number}",
            f"{last.epoch}/{last.epochs}" if last else "–",
            *(_curve([e.metrics[m.name] for e in trial.evaluations if m.name in e.metrics]) for m in _CURVES),
            number(last.metrics.get("ap") if last else None),
            long=f"{last.loss_name}, cycle {last.cycle + 1}"
            if last
            else f"starting with {trial.schedule.phases[0].loss_name}",
        )
    return table


def sweeps(histories: Iterable[SweepHistory]) -> RenderableType:
    """Return one line a sweep, or two where there is little room."""
    table = FittedTable(
        Column("sweep", justify="left", style="bold"),
        Column("state", justify="left"),
        Column("trials"),
        Column("best"),
        Column("vs control"),
        Column("created (UTC)", extra=1),
        long="objective, and how its trials ended",
        least=60,
    )
    for history in histories:
        result = sweep_result(history)
        table.add(
            history.name,
            history.state,
            history.progress,
            number(result.winner.score if result.winner else None),
            "–" if result.difference is None else f"{result.difference:+.3f}",
            f"{history.created:%Y-%m-%d %H:%M}",
            long=Text(f"{history.objective}  ") + tally(history),
        )
    return table if len(table) else Text("No sweeps here yet.")


def described(values: Mapping[str, str]) -> FittedTable:
    """Return names with their values, aligned; a long value is folded beside its name."""
    table = FittedTable(Column("", justify="left", style="dim"), least=24)
    for name, value in values.items():
        table.add(name, long=value)
    return table


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


def figures(metrics: Mapping[str, float]) -> Iterable[str]:
    """Return the figures of `FIGURES`, with a dash for what was not measured."""
    return (number(metrics.get(name)) for name in FIGURES)


def _curve(values: Sequence[float]) -> str:
    """Of one width however many values there are, so that a live display does not jump."""
    return f"{sparkline(values, _CURVE):<{_CURVE}} {values[-1]:.2f}" if values else "–".ljust(_CURVE + 5)


def _shares(trial: TrialHistory) -> Text:
    return Text(f"  {trial.shares}" if trial.shares else "", style="dim")


def _difference(trial: TrialHistory, control: TrialHistory | None) -> str:
    if control is None or trial is control or control.score is None or trial.score is None:
        return "–"
    return f"{trial.score - control.score:+.3f}"
