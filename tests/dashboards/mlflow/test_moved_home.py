"""A home that was moved or copied, and one of an odd name: MLflow's artifacts lie in it, and nowhere else."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import histories
import pytest

from lossweep.dashboards.mlflow.consistency import missing_runs
from lossweep.dashboards.mlflow.database import moved_from, settle
from lossweep.dashboards.mlflow.store import EXPERIMENT, MlflowStore
from lossweep.search.addresses import sqlite_url
from lossweep.search.study.history import SweepHistory
from lossweep.search.upkeep.doctor import MlflowMirror, examine
from lossweep.search.workspace import Workspace

SWEEP = histories.sweep(proposals=0, epochs=3)


def home(root: Path) -> Workspace:
    return Workspace(root, sqlite_url(root / "lossweep.db"), sqlite_url(root / "mlflow.db"))


def write(where: Workspace, history: SweepHistory = SWEEP) -> MlflowStore:
    store = MlflowStore(where.mlflow_uri, history, artifacts=where.artifacts)
    store.reconcile(history)
    store.log_report(f"<p>{where.root.name}</p>")
    return store


def held(where: Workspace) -> Mapping[str, bytes]:
    """Every artifact of a home by its path."""
    files = (path for path in where.root.rglob("*") if path.is_file() and path.suffix != ".db")
    return {str(path.relative_to(where.root)): path.read_bytes() for path in files}


@pytest.fixture
def first(mlflow_template: Path, tmp_path: Path) -> Workspace:
    where = home(tmp_path / "first? #1 50%25 é")
    where.root.mkdir()
    shutil.copy(mlflow_template, where.root / "mlflow.db")
    write(where)
    return where


def test_a_home_of_an_odd_name_keeps_its_artifacts(first: Workspace, tmp_path: Path) -> None:
    assert [path.name for path in tmp_path.iterdir()] == [first.root.name]
    assert any(name.endswith("report.html") for name in held(first))
    assert missing_runs(SWEEP, first.mlflow_uri) == ()
    assert moved_from(first.root / "mlflow.db", first.artifacts, EXPERIMENT) is None


def test_a_moved_home_is_written_to_where_it_lies(first: Workspace, tmp_path: Path) -> None:
    second = home(tmp_path / "second 100%")
    before = held(first)
    shutil.move(first.root, second.root)
    store = write(second)
    assert not first.root.exists()
    assert held(second).keys() == before.keys()
    (report,) = second.artifacts.rglob("report.html")
    assert report.read_text() == "<p>second 100%</p>"
    run = store.client.get_run(store.parent)
    assert run.info.artifact_uri.startswith(second.artifacts.as_uri())
    assert missing_runs(SWEEP, second.mlflow_uri) == ()


def test_a_copied_home_leaves_the_other_alone(first: Workspace, tmp_path: Path) -> None:
    second = home(tmp_path / "second")
    shutil.copytree(first.root, second.root)
    before = held(first)
    write(second)
    assert held(first) == before
    (report,) = second.artifacts.rglob("report.html")
    assert report.read_text() == "<p>second</p>"
    assert moved_from(first.root / "mlflow.db", first.artifacts, EXPERIMENT) is None


def test_the_doctor_says_that_a_home_was_moved_and_mends_it(first: Workspace, tmp_path: Path) -> None:
    second = home(tmp_path / "second")
    shutil.move(first.root, second.root)
    file = second.root / "mlflow.db"
    mirror = MlflowMirror(
        missing=lambda history: (),
        sync=lambda history: 0,
        moved=lambda: moved_from(file, second.artifacts, EXPERIMENT),
        settle=lambda: settle(file, second.artifacts, EXPERIMENT),
    )
    from lossweep.search.ledger import Ledger

    Ledger(second.database_url).close()
    (found,) = examine(second, mlflow=mirror)
    assert found.kind == "moved home"
    assert str(first.artifacts) in found.message
    assert found.mend is not None
    assert str(second.artifacts) in found.mend()
    assert found.mend()
    assert examine(second, mlflow=mirror) == ()
    assert not first.root.exists()


def test_a_home_that_is_reached_by_a_link_was_not_moved(first: Workspace, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(first.root)
    assert moved_from(link / "mlflow.db", link / "mlflow-artifacts", EXPERIMENT) is None


def test_a_database_that_several_homes_share_stays_as_it_is(first: Workspace, tmp_path: Path) -> None:
    other = tmp_path / "other" / "mlflow-artifacts"
    settle(first.root / "mlflow.db", other, EXPERIMENT)
    assert moved_from(first.root / "mlflow.db", other, EXPERIMENT) is None
    assert moved_from(first.root / "mlflow.db", first.artifacts, EXPERIMENT) is None


def test_artifacts_that_lie_elsewhere_on_purpose_stay_there(first: Workspace) -> None:
    MlflowStore(first.mlflow_uri, SWEEP, "bucket", artifacts=None)
    import sqlite3

    with sqlite3.connect(first.root / "mlflow.db") as database:
        later = (
            "UPDATE experiments SET artifact_location = 's3://bucket/mlflow-artifacts' WHERE name = 'bucket'"
        )
        database.execute(later)
    assert moved_from(first.root / "mlflow.db", first.artifacts, "bucket") is None
    assert moved_from(first.root / "mlflow.db", first.artifacts, "unknown") is None
