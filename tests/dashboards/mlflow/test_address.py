"""An MLflow store that can never work is refused before anything starts; one that is away is waited for."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import histories
import pytest
from mlflow_reading import assert_equal

from lossweep.dashboards.mlflow import address
from lossweep.dashboards.mlflow.address import check_store, store_problem
from lossweep.dashboards.mlflow.consistency import missing_runs
from lossweep.dashboards.mlflow.tracking import sync
from lossweep.dashboards.serving.dashboard import start_dashboard
from lossweep.search.workspace import TRACKING_VARIABLE
from lossweep.spaces.files.errors import UserError


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("./mlruns", "no longer records into folders; found ./mlruns; allowed: sqlite:///FILE"),
        ("file:///tmp/mlruns", "no longer records into folders"),
        ("C:/mlruns", "no longer records into folders"),
        ("mlflow.db", "did you mean sqlite:///mlflow.db?"),
        ("/data/mlflow.db", "did you mean sqlite:////data/mlflow.db?"),
        ("sqlite://mlflow.db", "did you mean sqlite:///mlflow.db?"),
        ("sqlite:mlflow.db", "did you mean sqlite:///mlflow.db?"),
        ("sqlite://", "a store in memory is gone"),
        ("sqlite:///:memory:", "a store in memory is gone"),
        ("localhost:5000", "did you mean http://localhost:5000?"),
        ("127.0.0.1:5000", "did you mean http://127.0.0.1:5000?"),
        ("http//server:5000", "did you mean http://server:5000?"),
        ("http:/server:5000", "needs a host"),
        ("http://", "needs a host"),
        ("http://server:port", "its port a number"),
        ("https://server:99999", "its port a number"),
        ("http://[::1", "no address of a store"),
        ("htpp://server:5000", "did you mean 'http'?"),
        ("s3://bucket/mlruns", "knows no such kind of store"),
        ("databricks-uc", "keeps models there"),
        ("postgresql+nosuch://server/db", "no address of a database"),
        ("postgresql+psycopg2://server/db", "driver psycopg2 is not installed"),
    ],
)
def test_what_can_never_work_is_said_with_its_remedy(uri: str, said: str) -> None:
    assert said in str(store_problem(uri))


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:1",  # nobody answers: an outage
        "https://mlflow.example.org/team",
        "http://[::1]:5000",
        "postgresql+psycopg://user:pass@127.0.0.1:1/mlflow",
        "databricks",
        "databricks://profile",
    ],
)
def test_what_may_work_one_day_is_not_refused(uri: str) -> None:
    check_store(uri)


def test_a_password_is_not_repeated() -> None:
    assert "hush" not in str(store_problem("postgresql+nosuch://me:hush@server/db"))
    assert "hush" not in str(store_problem("htpp://me:hush@server:5000"))


def test_a_store_of_another_package_or_a_folder_that_is_allowed_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(address, "_plugins", lambda: frozenset({"azureml"}))
    check_store("azureml://workspace")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    check_store("./mlruns")


def test_files_that_are_no_store_are_told_apart(tmp_path: Path, store: str) -> None:
    def said(name: str) -> str:
        return str(store_problem(f"sqlite:///{tmp_path / name}"))

    (tmp_path / "folder.db").mkdir()
    (tmp_path / "text.db").write_text("a letter to somebody, who keeps it here" * 9)
    whole = Path(store.removeprefix("sqlite:///")).read_bytes()
    (tmp_path / "torn.db").write_bytes(whole[:5000])
    with closing(sqlite3.connect(tmp_path / "study.db")) as study:
        study.execute("CREATE TABLE studies (id INTEGER)")
        study.execute("CREATE TABLE alembic_version (version_num TEXT)")
    assert "a folder stands" in said("folder.db")
    assert "no SQLite database" in said("text.db")
    assert "delete" not in said("text.db")
    assert "is damaged" in said("torn.db")
    assert "lossweep sync" in said("torn.db")
    assert "others' tables" in said("study.db")
    assert "delete" not in said("study.db")
    assert "can't be made" in said("text.db/mlflow.db")
    (tmp_path / "empty.db").touch()
    assert store_problem(f"sqlite:///{tmp_path / 'empty.db'}") is None
    assert store_problem(f"sqlite:///{tmp_path / 'new' / 'deep' / 'mlflow.db'}") is None
    assert not (tmp_path / "new").exists()
    assert store_problem(store) is None


def test_a_store_that_another_process_has_locked_is_waited_for(store: str) -> None:
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        check_store(store)


def test_everything_that_opens_the_store_says_it(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = histories.sweep(proposals=0)
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as opened, opened:
        opened.execute("UPDATE alembic_version SET version_num = 'older'")
    monkeypatch.setenv(TRACKING_VARIABLE, store)
    said = f"^{TRACKING_VARIABLE}: another version of MLflow made this store.*version older.*lossweep sync"
    with pytest.raises(UserError, match=said):
        sync(sweep, store, report=None)
    with pytest.raises(UserError, match=said):
        missing_runs(sweep, store)
    with pytest.raises(UserError, match=said):
        start_dashboard(lambda: sweep, store, port=0)


_KILLED_IN_A_MIGRATION = """
import os, signal, sys
import mlflow
from alembic.runtime.migration import HeadMaintainer

def die(self, step, original=HeadMaintainer.update_to_step, done=[]):
    done.append(original(self, step))
    if len(done) == 10:
        os.kill(os.getpid(), signal.SIGKILL)

HeadMaintainer.update_to_step = die
mlflow.MlflowClient(tracking_uri=sys.argv[1]).search_experiments()
"""


@pytest.mark.slow
def test_a_half_made_store_is_said_and_what_is_said_mends_it(tmp_path: Path) -> None:
    """MLflow itself, started on the file by hand, was killed in the middle of its migrations."""
    sweep, file = histories.sweep(proposals=0, epochs=4), tmp_path / "mlflow.db"
    uri = f"sqlite:///{file}"
    subprocess.run([sys.executable, "-c", _KILLED_IN_A_MIGRATION, uri], check=False, capture_output=True)
    assert file.exists()
    with pytest.raises(UserError, match=r"half made it that was killed.*lossweep sync") as said:
        sync(sweep, uri, report=None)
    assert f"delete {file} " in str(said.value)
    file.unlink()
    assert sync(sweep, uri, report=None) == len(sweep.trials)
    assert_equal(uri, sweep)


def test_a_store_of_an_older_mlflow_is_upgraded_by_the_command_that_is_named(store: str) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from click.testing import CliRunner
    from mlflow.cli import cli
    from mlflow.store.db.utils import _get_alembic_config, create_sqlalchemy_engine

    settings = _get_alembic_config(store)
    scripts = ScriptDirectory.from_config(settings)
    older = str(scripts.get_revision(scripts.get_current_head()).down_revision)
    engine = create_sqlalchemy_engine(store)
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.downgrade(settings, older)
    engine.dispose()
    problem = str(store_problem(store))
    assert f"version {older}" in problem
    CliRunner().invoke(cli, problem.partition("too: mlflow ")[2].split(), catch_exceptions=False)
    assert store_problem(store) is None
