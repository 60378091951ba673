"""Shows a running sweep in the terminal: a live display, or plain lines where there is no terminal."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lossweep.dashboards.result import sweep_result
from lossweep.dashboards.terminal.console import TerminalConsole
from lossweep.dashboards.terminal.sweep_progress import SweepProgress
from lossweep.dashboards.terminal.tables import running_table, tally
from lossweep.search.study.events import Event, SweepEnded, TrialEvaluated
from lossweep.spaces.files.errors import one_line

TICK_S = 0.5
"""Seconds between two looks at whether the sweep is about to stop, where there is no terminal."""

HEARTBEAT = 30.0
"""Seconds without a line after which the next evaluation makes one, where there is no terminal."""


_SPEAKERS = ("lossweep.search", "lossweep.dashboards")
"""Loggers whose warnings concern the person at the terminal: resources awaited, workers lost, MLflow away."""


class ProgressDisplay:
    """A `search.study.events.Listener` for a person at a terminal or a log file; a context manager, too.

    As a context manager it also shows what is warned of meanwhile: a sweep that waits has no events.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        plain: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        most_running: int = 8,
        stopping: Callable[[], str] = str,
    ) -> None:
        """Prepare to show.

        Args:
            console: where to; standard error by default, so that standard output stays the command's result.
            plain: lines instead of a live display; by default when the console is no terminal.
            clock: seconds, for the time left.
            most_running: running trials shown at once.
            stopping: why the sweep is about to stop; empty as long as it is not. Asked often, by any thread.
        """
        self._console = console or TerminalConsole(file=sys.stderr)
        self._plain = not self._console.is_terminal if plain is None else plain
        self._clock, self._most_running, self._stopping = clock, most_running, stopping
        self._lock = threading.Lock()
        self._progress = SweepProgress(clock)
        self._printed = clock()
        self._told_stop = self._ended = False
        self._live: Live | None = None
        self._over = threading.Event()
        self._ticking: threading.Thread | None = None
        self._warnings = _Warnings(self.warn)

    def __enter__(self) -> Self:
        """Show at once that something is under way: reading data takes a while before the first event."""
        if not self._plain:
            self._live = Live(
                console=self._console, get_renderable=self.render, refresh_per_second=4, transient=True
            )
            self._live.start()
        else:
            self._ticking = threading.Thread(target=self._tick, name="progress", daemon=True)
            self._ticking.start()
        for name in _SPEAKERS:
            logging.getLogger(name).addHandler(self._warnings)
        return self

    def __exit__(self, *_: object) -> None:
        """Take the live display away, whatever happened."""
        self._over.set()
        if self._ticking is not None:
            self._ticking.join()
        for name in _SPEAKERS:
            logging.getLogger(name).removeHandler(self._warnings)
        self.close()

    def handle(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            self._progress.take(event)
            self._ended = isinstance(event, SweepEnded)
        if isinstance(event, SweepEnded):
            self.close()
            self._print(self._progress.conclusion(self._stopping()))
        elif self._plain:
            self._tell(event)

    def warn(self, words: str) -> None:
        """Show a warning, above the live display where there is one; by any thread."""
        self._print(words, style="yellow")

    def close(self) -> None:
        """Take the live display away."""
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def render(self) -> RenderableType:
        """Return the live display as it stands."""
        with self._lock:
            sweep, left, running = self._progress.history, self._progress.left, self._progress.running
            done, budget = self._progress.done
            unit = " epochs" if self._progress.in_epochs else ""
            note = self._stop_note()
        if sweep is None:
            return Text(note or "opening the records and reading the data", style="dim")
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            Text(sweep.name, style="bold", no_wrap=True, overflow="ellipsis"),
            ProgressBar(total=max(1, budget), completed=done, width=self._console.width // 4),
            Text(f"{done}/{budget}{unit}", no_wrap=True),
            Text(left, style="dim", no_wrap=True),
        )
        parts: list[RenderableType] = [bar, tally(sweep), Text(sweep_result(sweep).headline())]
        if note:
            parts.append(Text(note, style="bold yellow"))
        if running:
            # A trial takes up to two lines, and a display taller than its terminal would be cut.
            most = max(1, min(self._most_running, (self._console.height - 11) // 2))
            parts += [Text(), running_table(running[:most])]
            if len(running) > most:
                parts.append(Text(f"and {len(running) - most} more", style="dim"))
        elif done < budget:
            parts += [Text(), Text("waiting for workers", style="dim")]
        return Group(*parts)

    def _tell(self, event: Event) -> None:
        self._tell_stop()
        line = self._progress.line(event)
        quiet = self._clock() - self._printed
        if line is None and isinstance(event, TrialEvaluated) and quiet >= HEARTBEAT:
            line = self._progress.heartbeat(self._most_running)
        if line is not None:
            self._print(line)

    def _tick(self) -> None:
        """Tell of a wish to stop at once: what the sweep waits for may be the evaluation that never comes."""
        while not self._over.wait(TICK_S):
            self._tell_stop()

    def _tell_stop(self) -> None:
        with self._lock:
            note = "" if self._told_stop or self._ended else self._stop_note()
            self._told_stop = self._told_stop or bool(note)
        if note:
            self._print(note)

    def _print(self, line: str, style: str | None = None) -> None:
        self._printed = self._clock()
        self._console.print(one_line(line), style=style, highlight=False, markup=False, soft_wrap=self._plain)

    def _stop_note(self) -> str:
        """Say what is waited for; whoever calls holds the lock."""
        if not (reason := self._stopping()):
            return ""
        names = self._progress.waits_for()
        waits = f"waits for the next evaluation of {names}" if names else "waits for what is under way"
        return f"Stopping ({reason}): {waits}; Ctrl-C again stops at once."


class _Warnings(logging.Handler):
    """Passes each warning on in one line; tracebacks stay in the log file."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._show(" ".join(record.getMessage().split()))
        except Exception:
            self.handleError(record)
