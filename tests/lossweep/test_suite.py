"""``lossweep suite``: two data sets to one table, and going on where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from lossweep.commands import app
from lossweep.spaces.files.errors import UserError

pytestmark = pytest.mark.slow

SWEEP = {
    "seed": 3,
    "data": {"source": "scenes", "tile": 64, "train": 8, "val": 4, "test": 2},
    "model": {"encoder": "tu-test_resnet", "options": {"encoder_depth": 3, "decoder_channels": [8, 8, 8]}},
    "training": {"batch": 2},
    "space": {"preset": "cycling"},
    "objective": {"use_case": "balanced"},
    "budget": {"trials": 2, "epochs": 2},
    "resources": {"runner": "inline"},
}


def test_a_suite_runs_goes_on_and_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("roads", "ships"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**SWEEP, "name": name}))
    suite = {
        "name": "fields",
        "sweeps": ["roads.yaml", "ships.yaml"],
        "same": {"space": {"preset": "single"}},
    }
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    run = CliRunner()

    none = run.invoke(app, ["suite", "suite.yaml", "--table"])
    assert isinstance(none.exception, UserError)
    assert "no sweep of suite fields has begun" in str(none.exception)
    assert not (tmp_path / "runs").exists()

    first = run.invoke(app, ["suite", "suite.yaml", "-o", "suite.html"], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    assert "fields.ships: sweep 2 of 2" in first.output
    table = first.output[first.output.rindex("data set") :]
    assert "schedules with" in table
    assert "cross_entropy" in (tmp_path / "suite.html").read_text()

    again = run.invoke(app, ["suite", "suite.yaml"], catch_exceptions=False)
    assert "sweep 1 of 2" not in again.output, "what is finished is not run again"
    assert again.output[again.output.rindex("data set") :] == table.replace("wrote suite.html\n", "")

    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("lossweep")
    assert experiment is not None
    (logged,) = client.search_runs([experiment.experiment_id], "tags.`lossweep.suite` = 'fields'")
    assert {file.path for file in client.list_artifacts(logged.info.run_id)} == {"suite.html", "suite.json"}
