"""A driver killed while MLflow's database is being made leaves none, rather than one that never opens."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lossweep.dashboards.mlflow.database import make_database

_KILLED_IN_A_MIGRATION = """
import os, signal, sys
from pathlib import Path
from alembic.runtime.migration import HeadMaintainer
from lossweep.dashboards.mlflow.database import make_database

def die(self, step, original=HeadMaintainer.update_to_step, done=[]):
    done.append(original(self, step))
    if len(done) == 10:
        os.kill(os.getpid(), signal.SIGKILL)

HeadMaintainer.update_to_step = die
make_database(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_database_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    import mlflow

    database = tmp_path / "home" / "mlflow.db"
    arguments = [str(database), str(tmp_path / "artifacts")]
    killed = subprocess.run([sys.executable, "-c", _KILLED_IN_A_MIGRATION, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(database.parent.glob("mlflow.db.making*"))
    assert not database.exists()
    make_database(database, tmp_path / "artifacts")
    assert not list(database.parent.glob("mlflow.db.making*"))
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{database}")
    run = client.create_run(client.create_experiment("real"))
    assert client.get_run(run.info.run_id).info.status == "RUNNING"


def test_a_database_that_is_there_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    database.write_bytes(b"somebody's")
    make_database(database, tmp_path)
    assert database.read_bytes() == b"somebody's"
