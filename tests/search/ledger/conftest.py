from __future__ import annotations

from collections.abc import Iterator

import pytest

from lossweep.search.ledger import Ledger


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger in an empty database, on either server."""
    ledger = Ledger(database_url)
    yield ledger
    ledger.close()
