"""How far predicting has come: images, and the rows of tiles of the one that is under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lossweep.dashboards.terminal.console import TerminalConsole
from lossweep.spaces.files.errors import one_line


@contextmanager
def tile_progress(images: int) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on stderr, where that is a terminal.

    Args:
        images: how many there are to be predicted, or are predicted already.

    Yields:
        What is to be told (image, rows of tiles done, of how many).
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = TerminalConsole(stderr=True)
    if not console.is_terminal:  # rich would print an empty line
        yield lambda file, done, total: None
        return
    with Progress(*columns, console=console, transient=True) as bars:
        whole = bars.add_task("images", total=images)
        tiles = bars.add_task("", total=None, visible=images == 1)

        def told(file: str, done: int, total: int) -> None:
            bars.update(
                tiles,
                description=one_line(PurePath(file).name),
                completed=done,
                total=total,
                visible=total > 1,
            )
            if done == total:
                bars.advance(whole)

        yield told
