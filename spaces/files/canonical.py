"""One text for one value, the same in every process and Python version: what keys are made from."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from pydantic import JsonValue

from lossweep.spaces.files.errors import refused


def _without_negative_zero(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_negative_zero(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_negative_zero(each) for each in value]
    # -0.0 equals 0.0 but is written differently.
    return value + 0.0 if isinstance(value, float) else value


def canonical_json(data: Any) -> str:
    """Write plain data as JSON in its one form: sorted keys, no blanks, floats as shortest exact decimals.

    Raises:
        ValueError: for numbers that are not finite.
    """
    return json.dumps(
        _without_negative_zero(data),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
        allow_nan=False,
    )


def key_of(data: Any) -> str:
    """The SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(data).encode("ascii")).hexdigest()


def tidied(value: JsonValue) -> JsonValue:
    """Write whole floats as ints, so that 3 and 3.0 are the same; refuse numbers that are not finite."""
    if isinstance(value, dict):
        return {key: tidied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [tidied(each) for each in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise refused("a number must be finite", found=str(value))
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value
