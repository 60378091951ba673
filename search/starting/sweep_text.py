"""A proposed sweep as the file that a person reads and edits: what stands there, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lossweep.search.starting.proposal import Proposal
from lossweep.spaces.files.errors import one_line
from lossweep.spaces.files.yaml_source import flow

_WIDTH: Final = 108
_LONG: Final = 90
"""Characters from which a mapping stands key by key."""

_USE_CASES: Final[Mapping[str, str]] = {
    "balanced": "F1 at the tuned threshold",
    "counting": "F1 of whole objects at the tuned threshold",
    "needle": "the highest recall whose precision is at least `floor` (0.2)",
    "no_false_alarms": "the highest precision whose recall is at least `floor` (0.5)",
}


def sweep_text(proposal: Proposal, found: Sequence[str], file: str) -> str:
    """Return a sweep file with comments.

    Args:
        proposal: with its budget.
        found: what was found in the data, and what was assumed, a sentence each.
        file: what the file will be called.
    """
    sweep, reasons = proposal.sweep(), _reasons(proposal)
    lines = [
        *_comment(f"Written by `lossweep init` for {proposal.machine}. Edit what you know better, then:"),
        f"#   lossweep check {one_line(file)}",
        f"#   lossweep submit {one_line(file)}",
        f"name: {flow(sweep['name'])}",
        "",
    ]
    for remark in found:
        lines += _comment(remark)
    for key in list(sweep)[1:]:
        if key != "data":
            lines.append("")
            for reason in reasons.get(key, ()):
                lines += _comment(reason)
        lines += _written(key, sweep[key], always=key == "data")
    if "confirm" not in sweep:
        lines += ["", *_comment(_unconfirmed(proposal))]
    return "\n".join(lines) + "\n"


def _written(key: str, value: Any, indent: str = "", always: bool = False) -> Iterator[str]:
    """A key with its value on one line, or key by key where that is long."""
    text = flow(value)
    if not isinstance(value, Mapping) or not value or (len(text) <= _LONG and not always):
        yield f"{indent}{flow(key)}: {text}"
        return
    yield f"{indent}{flow(key)}:"
    for inner, each in value.items():
        yield from _written(inner, each, f"{indent}  ")


def _comment(text: str) -> list[str]:
    """A remark as lines of comment; nothing in it ends one."""
    return [
        f"# {line}"
        for line in textwrap.wrap(one_line(text), _WIDTH, break_long_words=False, break_on_hyphens=False)
    ] or ["#"]


def _reasons(proposal: Proposal) -> dict[str, list[str]]:
    budget, cutting = proposal.budget, proposal.cutting
    assert budget is not None
    cases = "; ".join(f"{name}: {what}" for name, what in _USE_CASES.items())
    given, hours = proposal.wishes.hours, _hours(proposal.wishes.hours)
    spent = (
        f"An epoch takes about {budget.epoch_s:.1f} s, measured here. With {proposal.machine.slots} trials at"
        f" a time, all of it takes about {_hours(budget.hours)} of the {hours} given"
    )
    if budget.hours > given or not budget.top:
        spent += f"; after {hours} no new trial starts. This is a try-out: a search with a verdict takes"
        spent += f" {_hours(_enough(proposal))}"
    return {
        "model": [f"{proposal.choice.why}. Any model of segmentation-models-pytorch can stand here."],
        "training": [f"Crops of each image in an epoch: {budget.crops}; {cutting.why}."],
        "space": [
            "What is tried: a loss first, another as refinement, and again; 0 cycles are one loss alone."
            " Other presets: single, focal, everything (`lossweep space` draws from them)."
        ],
        "objective": [f"What is good. {cases}."],
        "budget": [f"{spent}."],
        "resources": ["Trials side by side, a core each; no GPU."],
        "confirm": [
            "The leaders, what they are made of and the control are trained again with fresh seeds and scored"
            " once on the test split: the verdict."
        ],
    }


def _enough(proposal: Proposal) -> float:
    """Hours for 16 trials of 12 epochs with a confirmation of 20 trainings."""
    budget = proposal.budget
    assert budget is not None
    return (0.7 * 16 + 20) * 12 * budget.epoch_s / proposal.machine.slots / 3600.0


def _hours(hours: float) -> str:
    return f"{hours * 60.0:.0f} min" if hours < 1.0 else f"{hours:.1f} h"


def _unconfirmed(proposal: Proposal) -> str:
    return (
        "Not confirmed: there is no time for it, or no test split. A verdict needs it: more hours, then "
        f"`confirm: {{top: 1, seeds: 5}}` here, or `lossweep confirm {proposal.wishes.name}` afterwards."
    )
