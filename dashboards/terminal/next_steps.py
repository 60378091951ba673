"""What could be done next: commands to be copied, which are never broken into lines."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from lossweep.dashboards.terminal.fitted_table import GAP


def print_next_steps(steps: Mapping[str, str], console: Console) -> None:
    """Print commands with what each is for, beside it where there is room, else below it.

    Args:
        steps: purposes by command.
        console: where to. A terminal folds what is too long by itself, and copies it as one line.
    """
    width = max(map(len, steps))
    beside = width + len(GAP) + max(map(len, steps.values())) <= console.width
    console.print(Text("Next", style="dim"))
    for command, purpose in steps.items():
        if beside:
            console.print(Text(f"{command:<{width}}", style="bold") + Text(f"{GAP}{purpose}"), soft_wrap=True)
        else:
            console.print(Text(command, style="bold"), soft_wrap=True)
            console.print(Text(f"{GAP}{GAP}{purpose}"), soft_wrap=True)
