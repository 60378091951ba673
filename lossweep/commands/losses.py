"""``lossweep losses``: what a phase can train with."""

from __future__ import annotations


def losses() -> None:
    """List every loss term with its parameters, their ranges, the formula's source and when to use it."""
    from rich.text import Text

    from lossweep.dashboards.terminal.console import TerminalConsole
    from lossweep.dashboards.terminal.fitted_table import Column, FittedTable
    from lossweep.spaces.losses.catalog import catalog

    entries = catalog()
    parameters = (f"  {parameter.name}" for entry in entries for parameter in entry.parameters)
    width = max(map(len, [*parameters, *(entry.term for entry in entries)]))
    console = TerminalConsole()
    for entry in entries:
        table = FittedTable(Column("", justify="left"), least=20)
        table.add(Text(entry.term.ljust(width), "bold"), long=entry.summary)
        for parameter in entry.parameters:
            default = parameter.default if parameter.default == "required" else f"default {parameter.default}"
            table.add(f"  {parameter.name}", long=f"{parameter.range}; {default}")
            table.add("", long=Text(parameter.meaning, "dim"))
        for title, words in (("formula", entry.formula), ("source", entry.source), ("when", entry.when)):
            table.add(Text(f"  {title}", "dim"), long=words)
        console.print(table)
        console.print()
