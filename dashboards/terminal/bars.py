"""Progress bars of what takes a while before anything trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from lossweep.dashboards.terminal.console import TerminalConsole


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield what to call with (what is done, how many are done, of how many): each gets a bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=TerminalConsole(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress
