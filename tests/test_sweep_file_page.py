"""The reference of sweep files says what the models that check them say."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from tests.documented import script


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    return script("sweep_file")


def test_the_page_is_up_to_date(writer: ModuleType) -> None:
    assert writer.PAGE.read_text() == writer.page(), "python docs/sweep_file.py writes it anew"


def test_every_link_leads_to_a_section(writer: ModuleType) -> None:
    text = writer.page()
    anchors = {title.strip("`").lower() for title in re.findall(r"^## (.+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\(#(\w+)\)", text)) <= anchors
    assert {"trainingspec", "spacespec", "phasespace", "foldersource"} <= anchors


def test_bounds_defaults_and_docstrings_are_told(writer: ModuleType) -> None:
    text = writer.page()
    assert "| `trials` | whole number ≥ 1 | required | trials that end on their own" in text
    assert '| `optimizer` | `adamw`, `sgd` | `"adamw"` | its learning rate is the schedule\'s. |' in text
    assert "anything |" not in "".join(re.findall(r"^## The file.*?^## ", text, re.MULTILINE | re.DOTALL))
