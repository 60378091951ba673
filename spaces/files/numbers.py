"""Numbers as people write them."""

from __future__ import annotations

from decimal import Decimal


def number(value: float) -> str:
    """Write a number as its shortest decimal that reads back exactly: ``1e-3``, ``0.9``, ``42.7``, ``3``."""
    if isinstance(value, int):
        return str(value)
    decimal = Decimal(repr(value + 0.0)).normalize()
    plain = f"{decimal:f}"
    sign, digits, exponent = decimal.as_tuple()
    mantissa = "".join(map(str, digits))
    power = int(exponent) + len(mantissa) - 1
    scientific = f"{'-' * sign}{mantissa[0]}{'.' * (len(mantissa) > 1)}{mantissa[1:]}e{power}"
    return scientific if len(scientific) < len(plain) and value != 0 else plain
