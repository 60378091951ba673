"""How a figure is written: three decimals, or a dash for what was not measured."""

from __future__ import annotations

from typing import Final

MISSING: Final = "–"


def number(value: float | None) -> str:
    """Return a figure with three decimals, or a dash."""
    return MISSING if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Return a difference with its sign, or a dash."""
    return MISSING if value is None else f"{value:+.3f}"
