"""A sweep from Python: `lossweep.sweep` and the `lossweep.Sweep` that it returns."""

from __future__ import annotations

import html
import signal
import threading
from pathlib import Path

import pytest

import lossweep
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.schedules.schedule_file import load_schedule

pytestmark = pytest.mark.slow

SWEEP = """\
name: small
seed: 3
data: {source: scenes, tile: 64, train: 8, val: 4, test: 2}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [8, 8, 8]}}
training: {batch: 2}
space: {preset: single}
sampler: {sampler: random}
objective: {use_case: balanced}
budget: {trials: 3, epochs: 2}
resources: {runner: inline}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("python")
    (folder / "small.yaml").write_text(SWEEP)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> lossweep.Sweep:
    """A sweep of three trials, run in a thread of its own, where no signal can be handled."""
    results: list[lossweep.Sweep] = []
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run = threading.Thread(
        target=lambda: results.append(lossweep.sweep(folder / "small.yaml", home=folder / "runs", show=False))
    )
    run.start()
    run.join()
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    (result,) = results
    return result


def test_it_ran_to_its_end(found: lossweep.Sweep) -> None:
    assert (found.name, found.state) == ("small", "finished")
    assert len(found.history.trials) == 3
    assert found.best is not None
    assert found.best.outcome is OutcomeKind.COMPLETED
    assert f"trial {found.best.number}" in str(found)
    assert "3/3 trials" in str(found)


def test_its_trials_are_a_table(found: lossweep.Sweep) -> None:
    table = found.trials_dataframe()
    assert list(table.index) == [0, 1, 2]
    assert list(table["outcome"]) == [trial.outcome.value for trial in found.history.trials]
    assert found.best is not None
    assert found.best.scored is not None
    best = table.loc[found.best.number]
    assert best["score"] == table["score"].max() == found.best.score
    assert best["metrics.recall"] == found.best.scored.metrics["recall"]
    assert best["schedule"] == str(found.best.schedule)
    assert best["control"] == found.best.control
    parameters = {name for trial in found.history.trials for name in trial.parameters}
    assert {f"params.{name}" for name in parameters} <= set(table.columns)


def test_a_notebook_shows_the_sentence_and_the_trials(found: lossweep.Sweep) -> None:
    shown = found._repr_html_()
    assert f"<p>{html.escape(str(found))}</p>" in shown
    body = shown.partition("<tbody>")[2]
    assert body.count("<tr>") == len(found.history.trials)
    for trial in found.history.trials:
        assert f"<td>{html.escape(str(trial.schedule))}</td>" in body, "whole, however long"
        assert f"<td>{trial.score:.3f}</td>" in body


def test_the_report_and_the_winner_are_files(found: lossweep.Sweep, tmp_path: Path) -> None:
    page = found.report(tmp_path / "small.html")
    assert "small" in page.read_text()
    exported = found.export(tmp_path / "best.yaml")
    assert load_schedule(tmp_path / "best.yaml") == exported
    assert found.best is not None
    assert exported.schedule == found.best.schedule
    assert lossweep.ScheduledLoss(exported).epochs == 2
    assert found.export(trial=1).schedule == found.history.trials[1].schedule


def test_the_report_is_written_where_one_works(
    found: lossweep.Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert found.report() == Path("small.html")
    assert (tmp_path / "small.html").exists()


def test_it_is_recorded_in_mlflow_and_can_be_read_again(found: lossweep.Sweep, folder: Path) -> None:
    from mlflow import MlflowClient

    again = lossweep.Sweep.load("small", folder / "runs")
    assert again.history.trials == found.history.trials
    client = MlflowClient(tracking_uri=again.workspace.mlflow_uri)
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert sum("mlflow.parentRunId" in run.data.tags for run in runs) == 3


def test_one_that_exists_is_gone_on_with_only_when_that_is_said(found: lossweep.Sweep, folder: Path) -> None:
    file, home = folder / "small.yaml", folder / "runs"
    with pytest.raises(lossweep.UserError, match="already a sweep named small"):
        lossweep.sweep(file, home=home, show=False)
    assert lossweep.sweep(file, home=home, resume=True, show=False).history == found.history
    with pytest.raises(lossweep.UserError, match="seed"):
        lossweep.sweep(file, {"seed": 4}, home=home, resume=True, show=False)


def test_a_spec_runs_as_its_file_and_progress_is_told_on_standard_error(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = lossweep.SweepSpec.load(folder / "small.yaml")
    short = lossweep.sweep(
        spec, {"name": "short", "budget.trials": 1, "budget.epochs": 1}, home=folder / "other"
    )
    assert [trial.control for trial in short.history.trials] == ["cross_entropy"]
    said = capfd.readouterr()
    assert "cross_entropy" in said.err
    assert said.out == ""


def test_what_is_not_there_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(lossweep.UserError, match="there are no sweeps in"):
        lossweep.Sweep.load("small", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "wrong.yaml").write_text(SWEEP.replace("trials: 3", "trials: 0"))
    with pytest.raises(lossweep.UserError, match=r"wrong\.yaml:9: budget\.trials"):
        lossweep.sweep(tmp_path / "wrong.yaml", home=tmp_path / "runs")
