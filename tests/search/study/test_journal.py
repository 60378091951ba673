from __future__ import annotations

import pytest

from lossweep.search.study.journal import Journal, MemoryJournal
from tests.search.study.journal_contract import JournalContract


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> Journal:
        return MemoryJournal()
