"""One migrated MLflow database for all tests: a new one costs eight seconds of migrations."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path

from browser import CHROMEDRIVER, CHROMIUM, Browser, chromium

from lossweep.dashboards.mlflow.store import quiet_mlflow


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, however many workers share the tests: their temporary folders lie side by side."""
    quiet_mlflow()
    import mlflow

    mine = tmp_path_factory.getbasetemp()
    folder = (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "mlflow-template"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            making = Path(tempfile.mkdtemp(dir=folder.parent)) / "mlflow.db"
            mlflow.MlflowClient(tracking_uri=f"sqlite:///{making}").search_experiments()
            making.parent.rename(folder)
    return folder / "mlflow.db"


@pytest.fixture
def new_store(mlflow_template: Path, tmp_path: Path) -> Callable[[], str]:
    """Makes empty stores, each in a folder of its own."""
    made: list[str] = []

    def make() -> str:
        folder = tmp_path / f"home{len(made)}"
        folder.mkdir()
        shutil.copy(mlflow_template, folder / "mlflow.db")
        made.append(f"sqlite:///{folder / 'mlflow.db'}")
        return made[-1]

    return make


@pytest.fixture
def store(new_store: Callable[[], str]) -> str:
    return new_store()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests: skipped, with the reason, on a machine that has none. CI installs it."""
    if os.environ.get("CI") and (CHROMIUM is None or CHROMEDRIVER is None):
        pytest.fail("CI must have chromium and chromedriver: these tests are not skipped there")
    with chromium() as started:
        yield started
