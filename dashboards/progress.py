"""Shows a running sweep in the terminal: a live display, or plain lines where there is no terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dashboards.standing import standing, trial_label
from dashboards.tables import running_table, tally
from search.events import Event, SweepEnded, SweepStarted, TrialEnded, TrialEvaluated, TrialStarted
from search.history import SweepHistory, TrialHistory
from search.outcomes import OutcomeKind


class ProgressDisplay:
    """A `search.events.Listener` for a person at a terminal or a log file."""

    def __init__(
        self,
        console: Console | None = None,
        *,
        plain: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        most_running: int = 8,
    ) -> None:
        """Prepare to show.

        Args:
            console: where to; standard error by default, so that standard output stays the command's result.
            plain: lines instead of a live display; by default when the console is no terminal.
            clock: seconds, for the time left.
            most_running: running trials shown at once.
        """
        self._console = console or Console(file=sys.stderr)
        self._plain = not self._console.is_terminal if plain is None else plain
        self._clock, self._most_running = clock, most_running
        self._lock = threading.Lock()
        self._sweep: SweepHistory | None = None
        self._trials: dict[int, TrialHistory] = {}
        self._began = clock()
        self._epochs = 0
        self._live: Live | None = None

    def handle(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            self._take(event)
        if self._plain:
            if (line := self._line(event)) is not None:
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        elif self._live is None and isinstance(event, SweepStarted):
            self._live = Live(
                console=self._console, get_renderable=self.render, refresh_per_second=4, transient=True
            )
            self._live.start()
        if isinstance(event, SweepEnded):
            self.close()

    def close(self) -> None:
        """Leave the terminal as it was, with the standing result as its last lines."""
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()
            self._console.print(self.render())

    def render(self) -> RenderableType:
        """Return the display as it stands."""
        with self._lock:
            sweep = self._current()
            left = self._seconds_left()
        if sweep is None:
            return Text("starting")
        done = sum(trial.outcome.is_final for trial in sweep.trials)
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            Text(sweep.name, style="bold"),
            ProgressBar(total=max(1, sweep.budget_trials), completed=done, width=30),
            Text(f"{done}/{sweep.budget_trials}"),
            Text(_left(left), style="dim"),
        )
        parts: list[RenderableType] = [bar, tally(sweep), Text(standing(sweep).sentence())]
        running = [trial for trial in sweep.trials if trial.outcome is OutcomeKind.RUNNING]
        if running:
            parts += [Text(), running_table(running[: self._most_running])]
            if len(running) > self._most_running:
                parts.append(Text(f"and {len(running) - self._most_running} more", style="dim"))
        return Group(*parts)

    def _take(self, event: Event) -> None:
        match event:
            case SweepStarted(sweep) | SweepEnded(sweep):
                if isinstance(event, SweepStarted):
                    self._began, self._epochs = self._clock(), 0
                self._sweep = sweep
                self._trials = {trial.number: trial for trial in sweep.trials}
            case TrialStarted(trial) | TrialEnded(trial):
                self._trials[trial.number] = trial
            case TrialEvaluated(number, evaluation, _):
                trial = self._trials[number]
                before = trial.evaluations[-1].epoch if trial.evaluations else 0
                if evaluation.epoch > before:
                    self._epochs += evaluation.epoch - before
                    self._trials[number] = replace(trial, evaluations=(*trial.evaluations, evaluation))

    def _current(self) -> SweepHistory | None:
        if self._sweep is None:
            return None
        return replace(self._sweep, trials=tuple(self._trials[number] for number in sorted(self._trials)))

    def _seconds_left(self) -> float | None:
        """Estimate from the epochs a second so far and the epochs a trial of this sweep takes on average."""
        sweep, elapsed = self._sweep, self._clock() - self._began
        if sweep is None or not self._epochs or elapsed <= 0.0:
            return None
        spent = [
            trial.evaluations[-1].epoch if trial.evaluations else 0
            for trial in self._trials.values()
            if trial.outcome.is_final
        ]
        usual = sum(spent) / len(spent) if spent else float(sweep.budget_epochs)
        begun = [t for t in self._trials.values() if not t.outcome.is_final]
        rest = sum(max(0.0, usual - (t.evaluations[-1].epoch if t.evaluations else 0)) for t in begun)
        rest += usual * max(0, sweep.budget_trials - len(self._trials))
        return rest * elapsed / self._epochs

    def _line(self, event: Event) -> str | None:
        match event:
            case SweepStarted(sweep):
                done = sum(trial.outcome.is_final for trial in sweep.trials)
                return f"sweep {sweep.name}: {done} of {sweep.budget_trials} trials done, {sweep.objective}"
            case TrialStarted(trial):
                again = f", goes on after epoch {trial.evaluations[-1].epoch}" if trial.evaluations else ""
                return f"{trial_label(trial)} starts{again}: {trial.schedule}"
            case TrialEvaluated(number, evaluation, decision):
                figures = ", ".join(
                    f"{label} {evaluation.metrics[name]:.3f}"
                    for name, label in (("recall", "R"), ("precision", "P"), ("f1", "F1"), ("ap", "AP"))
                    if name in evaluation.metrics
                )
                told = "" if decision.action == "continue" else f"; {decision.action}: {decision.reason}"
                where = f"trial {number} epoch {evaluation.epoch}/{evaluation.epochs}"
                return f"{where} {evaluation.loss_name}: {figures}{told}"
            case TrialEnded(trial):
                with self._lock:
                    now, left = self._current(), self._seconds_left()
                score = f" {trial.score:.3f}" if trial.score is not None else ""
                reason = f" ({trial.reason})" if trial.reason else ""
                done = sum(t.outcome.is_final for t in now.trials) if now else 0
                budget = now.budget_trials if now else 0
                end = f"{trial_label(trial)} {trial.outcome.value}{score}{reason}"
                return f"{end}; {done}/{budget} done{_left(left, ', ')}"
            case SweepEnded(sweep):
                return f"sweep {sweep.name} {sweep.state}. {standing(sweep).sentence()}"


def _left(seconds: float | None, before: str = "") -> str:
    return "" if seconds is None else f"{before}about {timedelta(seconds=round(seconds))} left"
