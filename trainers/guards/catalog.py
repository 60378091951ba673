"""The guards as a table to read, drawn from the rules."""

from __future__ import annotations

from typing import Any, Final

from lossweep.trainers.guards.rule import Rule
from lossweep.trainers.guards.spec import RULES

_SEES: Final = {"the rehearsal": "on_rehearsal", "steps": "on_step", "evaluations": "on_evaluation"}


def table() -> str:
    """Return lossweep's own guards as the table of docs/guards.md."""
    head = ["| rule | sees | fires when | warm-up | patience |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *map(_row, RULES)])


def _row(rule: type[Rule[Any, Any]]) -> str:
    sees = [what for what, method in _SEES.items() if getattr(rule, method) is not getattr(Rule, method)]
    cells = (
        f"`{rule.name}`",
        " and ".join(sees),
        rule.fires_when,
        _unit(rule, "warm_up"),
        _unit(rule, "patience"),
    )
    return f"| {' | '.join(cells)} |"


def _unit(rule: type[Rule[Any, Any]], threshold: str) -> str:
    """What a threshold is counted in."""
    field = rule.spec_type.model_fields.get(threshold)
    return (field.description or "") if field else "none"
