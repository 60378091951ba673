"""What a confirmation found, as a table: each arm on the test split, and its difference to the control."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from lossweep.dashboards.numbers import number
from lossweep.dashboards.result import metric_words
from lossweep.dashboards.terminal.fitted_table import Column, FittedTable
from lossweep.search.study.confirmation import Role
from lossweep.search.study.history import SweepHistory
from lossweep.search.verdicts.result import ArmScores, SweepVerdict, between, verdict_of
from lossweep.search.verdicts.sentence import arm_label


def confirmation_table(history: SweepHistory) -> tuple[RenderableType, ...]:
    """Return the arms with their scores over the fresh seeds, under an empty line; nothing without any."""
    verdict = verdict_of(history)
    if verdict is None:
        return ()
    table = FittedTable(
        Column("mean", style="bold"),
        Column("SD"),
        Column("seeds"),
        Column("vs control"),
        Column("95 % interval", extra=1),
        long="arm",
    )
    for scores in verdict.arms:
        table.add(*_row(verdict, scores), long=_arm(scores))
    title = f"Confirmed on the test split, {metric_words(verdict.held_out)}, by fresh seeds"
    return (Text(), Text(title), Text(), Group(table))


def _row(verdict: SweepVerdict, scores: ArmScores) -> tuple[str, ...]:
    summary = scores.summary
    difference = between(scores, verdict.control, verdict.sign) if scores is not verdict.control else None
    against, interval = "–", "–"
    if difference is not None:
        low, high = sorted(verdict.sign * end for end in difference.interval())
        against, interval = f"{verdict.sign * difference.mean:+.3f}", f"{low:+.3f} to {high:+.3f}"
    mean = number(summary.mean if scores.values else None)
    return mean, number(summary.deviation), str(len(scores.values)), against, interval


def _arm(scores: ArmScores) -> Text:
    arm = scores.arm
    return Text(f"{arm_label(arm)}: ", style="red" if arm.role is Role.CONTROL else "") + Text(
        str(arm.schedule)
    )
