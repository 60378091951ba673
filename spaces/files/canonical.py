"""One text for one value, the same in every process and Python version: what keys are made from."""

from __future__ import annotations

import hashlib
import json
from typing import Any


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
