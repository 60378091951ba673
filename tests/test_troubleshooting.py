"""The page of messages shows what is really printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SOURCE = re.sub(
    r'"\s*\n\s*f?"',
    "",
    "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("spaces", "trainers", "search", "dashboards", "lossweep/commands")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ),
)
MESSAGES = [
    quoted
    for row in re.findall(r"^\| (.+?) \|", PAGE, re.MULTILINE)
    for quoted in re.findall(r"`([^`]+)`", row)
]


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 25


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_is_one_of_ours(message: str) -> None:
    parts = [part.strip() for part in re.split(r"[…]", message) if part.strip()]
    assert parts
    for part in parts:
        assert part in SOURCE, part
