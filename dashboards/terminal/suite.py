"""A suite of sweeps, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from lossweep.dashboards.comparison.suite import SuiteResult
from lossweep.dashboards.terminal.fitted_table import Column, FittedTable


@dataclass(frozen=True, slots=True)
class SuiteTable:
    """The sentence, what to know before believing it, a row a data set and a row a kind of schedule."""

    suite: SuiteResult

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield its parts, for rich."""
        found = self.suite
        yield Text(found.sentence(), style="bold")
        for caveat in found.caveats:
            yield Text(caveat, style="yellow")
        yield Text()
        name, state, best, verdict, difference, leader, _ = found.titles
        sweeps = FittedTable(
            Column(name, "left"),
            Column(verdict, "left"),
            Column(difference, "left"),
            Column(best),
            Column(state, "left", extra=1),
            long=leader,
        )
        for row in found.rows:
            sweeps.add(row[0], row[3], row[4], row[2], row[1], long=row[5])
        yield sweeps
        if found.families:
            yield Text()
            losses, rank, *names, wins = found.family_titles
            families = FittedTable(
                Column(losses, "left"),
                Column(rank),
                *(Column(each, extra=2) for each in names),
                Column(wins, "left", extra=1),
            )
            for row in found.family_rows:
                families.add(*row)
            yield families
