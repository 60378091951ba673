"""A loss on one line: ``focal(gamma=3, alpha=0.9)``, ``cross_entropy + 0.5*per_object(dice)``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from lossweep.spaces.files.numbers import number
from lossweep.spaces.losses.ramp import Ramp, is_ramp
from lossweep.spaces.losses.terms import Compound, Frozen, ImportedLoss, Loss, Term

WORD: Final = r"[A-Za-z_]\w*"
"""A name that needs no quotes."""


def _json(value: Any) -> str:
    """JSON, with what would break the line escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text.translate({ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"})


def _value(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if is_ramp(value):
        return str(Ramp(value["from"], value["to"], value.get("shape", "linear")))
    if isinstance(value, list):
        return f"[{', '.join(_value(each) for each in value)}]"
    if (
        isinstance(value, str)
        and re.fullmatch(r"[A-Za-z_]\w*", value)
        and value not in ("true", "false", "null")
    ):
        return value
    return _json(value)


def quoted_unless(name: str, plain: str) -> str:
    """Write a name as it is where it matches the pattern ``plain``, else as JSON."""
    return name if re.fullmatch(plain, name) else _json(name)


def _arguments(loss: Frozen) -> Iterator[str]:
    plain = loss.model_dump(mode="json", exclude_defaults=True)
    del plain["term"]
    if isinstance(loss, ImportedLoss):
        for name, value in plain.get("parameters", {}).items():
            yield f"{quoted_unless(name, WORD)}={_json(value)}"
        return
    for name, value in plain.items():
        if isinstance(within := getattr(loss, name), Term):
            yield loss_text(within)
        elif isinstance(value, dict) and not is_ramp(value):
            yield from (f"{inner}={_value(each)}" for inner, each in value.items())
        else:
            yield f"{name}={_value(value)}"


def _weight(weight: float | Ramp) -> str:
    return str(weight) if isinstance(weight, Ramp) else number(weight)


def loss_text(loss: Loss) -> str:
    """Write a loss: ``focal(gamma=3, alpha=0.9)``, or a sum: ``cross_entropy + 0.5*dice``."""
    if isinstance(loss, Compound):
        return " + ".join(
            ("" if part.weight == 1 else f"{_weight(part.weight)}*") + loss_text(part.loss)
            for part in loss.sum
        )
    arguments = ", ".join(_arguments(loss))
    return f"{loss.term}({arguments})" if arguments else str(loss.term)
