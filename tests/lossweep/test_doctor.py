"""`lossweep doctor` where MLflow's store can't be looked at: said once, with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lossweep.commands import app
from lossweep.search.running.driver import run_sweep
from tests.search.small_sweeps import spec, task, workspace


def test_a_damaged_store_is_said_once_for_all_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOSSWEEP_DATABASE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    for name in ("one", "other"):
        work = task(tmp_path / "work" / name)
        run_sweep(spec(name, trials=2, epochs=1), workspace(tmp_path), task=work, on_signal=False)
    (tmp_path / "mlflow.db").write_bytes(b"SQLite format 3\0" + b"torn" * 500)
    done = CliRunner().invoke(app, ["doctor", "--home", str(tmp_path)])
    said = [line for line in done.stderr.splitlines() if "MLflow" in line]
    assert len(said) == 1
    assert said[0].startswith(
        "the MLflow runs of one, other were not looked at: MLflow's store: the SQLite file"
    )
    assert "lossweep sync NAME" in said[0]
    assert "all is well" not in done.stdout
