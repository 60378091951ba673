from __future__ import annotations

import pytest

from lossweep.search.running.dispatcher import AttemptLog, MemoryAttempts
from tests.search.running.attempts_contract import AttemptsContract


class TestMemoryAttempts(AttemptsContract):
    @pytest.fixture
    def log(self) -> AttemptLog:
        return MemoryAttempts()
