"""``lossweep losses``: what a phase can train with."""

from __future__ import annotations


def losses() -> None:
    """List every loss term with its parameters, their ranges, the formula's source and when to use it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from spaces.loss_catalog import catalog

    console = Console()
    for entry in catalog():
        console.print(Text(entry.term, "bold"), Text(entry.summary))
        table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
        for parameter in entry.parameters:
            default = parameter.default if parameter.default == "required" else f"default {parameter.default}"
            table.add_row(parameter.name, parameter.range, default, parameter.meaning)
        console.print(table)
        console.print(Text(f"  formula: {entry.formula}", "dim"))
        console.print(Text(f"  source: {entry.source}", "dim"))
        console.print(Text(f"  when: {entry.when}\n"))
