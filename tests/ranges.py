"""Which numbers a model's field accepts, tried on both sides of each of its ends."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError


def tries(written: str) -> Iterator[tuple[float, bool]]:
    """Numbers at and beside the ends of a range such as ``[0, 1)``, and whether it holds them.

    Numbers that are written with a point are real ones, others whole: ``[1, )`` are the whole ones from 1.
    """
    opening, low, high, closing = re.fullmatch(r"([\[(])(.*), ?(.*)([\])])", written).groups()  # type: ignore[union-attr]  # or the test is wrong
    for end, included, outward in ((low, opening == "[", -math.inf), (high, closing == "]", math.inf)):
        if end:
            whole, value = "." not in end, float(end)
            beyond = value + math.copysign(1, outward) if whole else math.nextafter(value, outward)
            within = value - math.copysign(1, outward) if whole else math.nextafter(value, -outward)
            yield from ((value, included), (beyond, False), (within, True))


def check_range(read: Callable[[Any], object], written: str) -> None:
    """Check that ``read`` takes what the range holds, and refuses what lies beside it."""
    for value, held in tries(written):
        number = int(value) if "." not in written else value
        if held:
            read(number)
        else:
            with pytest.raises(ValidationError):
                read(number)
