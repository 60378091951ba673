"""The report of a trained sweep: overlays from its checkpoints, and nothing lost when they are gone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from mlflow_reading import assert_equal, read

from lossweep.dashboards.mlflow.consistency import missing_runs
from lossweep.dashboards.mlflow.tracking import MlflowListener, sync
from lossweep.dashboards.report.sweep_report import SweepReport
from lossweep.dashboards.report.validation_tiles import _window, validation_tiles
from lossweep.search.running.driver import run_sweep
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.upkeep.export import export_best
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.scoring.objectives import ObjectiveSpec

pytestmark = pytest.mark.slow

SPEC = SweepSpec.model_validate(
    {
        "name": "trained",
        "seed": 5,
        "data": {"source": "scenes", "tile": 64, "train": 12, "val": 6, "test": 2},
        "model": {
            "encoder": "tu-test_resnet",
            "options": {"encoder_depth": 3, "decoder_channels": [16, 8, 8]},
        },
        "training": {"batch": 4, "precision": "float32"},
        "space": {"preset": "single", "losses": ["focal", "jaccard"]},  # no plain ones: those are controls
        "sampler": {"sampler": "random"},
        "pruning": {"pruner": "none"},
        "objective": {"use_case": "balanced"},
        "budget": {"trials": 6, "epochs": 2},
        "resources": {"runner": "inline"},
    }
)


@pytest.fixture(scope="module")
def workspace(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A sweep trained in this process, with MLflow listening as on the command line."""
    root = tmp_path_factory.mktemp("trained")
    shutil.copy(mlflow_template, root / "mlflow.db")
    where = Workspace(root, f"sqlite:///{root / 'lossweep.db'}", f"sqlite:///{root / 'mlflow.db'}")
    listener = MlflowListener(where.mlflow_uri, report=SweepReport(where), system_metrics=True)
    run_sweep(SPEC, where, (listener,), on_signal=False)
    return where


@pytest.fixture
def trained(workspace: Workspace) -> SweepHistory:
    return history_of(workspace)


def history_of(workspace: Workspace) -> SweepHistory:
    from lossweep.search.ledger import Ledger

    ledger = Ledger(workspace.database_url)
    try:
        return ledger.history(SPEC.name)
    finally:
        ledger.close()


def won_by_a_proposal(history: SweepHistory) -> SweepHistory:
    """The same sweep, its controls' scores lowered: so small a training may end either way."""
    lowered = tuple(
        replace(trial, score=-1.0, values=tuple(-1.0 for _ in trial.values)) if trial.control else trial
        for trial in history.trials
    )
    return replace(history, trials=lowered)


def figures(counts: list[tuple[int, int, int]]) -> tuple[float, float]:
    """Precision and recall of pixels found, falsely alarmed and missed."""
    hit, alarm, miss = np.sum(counts, axis=0)
    return hit / max(1, hit + alarm), hit / max(1, hit + miss)


def test_overlays_show_what_was_measured(workspace: Workspace, trained: SweepHistory) -> None:
    sweep = won_by_a_proposal(trained)
    tiles = validation_tiles(sweep, SPEC, workspace, most=99, seconds=60.0)
    assert len(tiles) == 6
    differing = validation_tiles(sweep, SPEC, workspace, most=2, seconds=60.0)
    assert differing == tiles[:2]

    def recorded(trial: TrialHistory | None) -> tuple[float, float]:
        assert trial is not None
        assert trial.scored is not None
        metrics = trial.scored.metrics
        return metrics["tuned_precision"], metrics["tuned_recall"]

    # Every image is smaller than the window, so that the counts are those of the whole validation split.
    assert figures([tile.winner_counts for tile in tiles]) == pytest.approx(
        recorded(sweep.winner()), abs=0.02
    )
    assert figures([tile.control_counts for tile in tiles]) == pytest.approx(
        recorded(sweep.control()), abs=0.02
    )


def test_overlays_are_drawn_where_the_objective_operates(workspace: Workspace, trained: SweepHistory) -> None:
    sweep = won_by_a_proposal(trained)
    spec = SPEC.model_copy(update={"objective": ObjectiveSpec(metric="recall")})
    tiles = validation_tiles(sweep, spec, workspace, most=99, seconds=60.0)
    winner = sweep.winner()
    assert winner is not None
    assert winner.scored is not None
    at_half = winner.scored.metrics
    assert (at_half["precision"], at_half["recall"]) != (at_half["tuned_precision"], at_half["tuned_recall"])
    assert figures([tile.winner_counts for tile in tiles]) == pytest.approx(
        (at_half["precision"], at_half["recall"]), abs=0.02
    )


def test_the_page_holds_the_overlays_and_the_exported_file(
    workspace: Workspace, trained: SweepHistory
) -> None:
    sweep = won_by_a_proposal(trained)
    page = SweepReport(workspace)(sweep)
    assert page.count('<img alt="leader') == 6
    assert page.count('<img alt="control') == 6
    shown = re.search(r'<pre id="schedule-yaml"[^>]*>(.*?)</pre>', page, re.S)
    assert shown is not None
    import html

    written = html.unescape(shown.group(1))
    assert written == export_best(sweep).to_yaml()
    assert yaml.safe_load(written)["provenance"]["sweep"] == "trained"
    assert ScheduleFile.model_validate(yaml.safe_load(written)).schedule == export_best(sweep).schedule


@pytest.mark.parametrize("lost", ["checkpoints", "cache", "torn"])
def test_what_is_gone_is_left_out_and_the_report_is_built(
    workspace: Workspace, trained: SweepHistory, tmp_path: Path, lost: str
) -> None:
    root = tmp_path / "moved"
    shutil.copytree(workspace.root, root)
    there = Workspace(root, workspace.database_url, workspace.mlflow_uri)
    if lost == "torn":
        for checkpoint in there.checkpoints(SPEC.name).rglob("*.checkpoint"):
            checkpoint.write_bytes(b"torn")
    else:
        shutil.rmtree(root / lost)
    sweep = won_by_a_proposal(trained)
    page = SweepReport(there)(sweep)
    assert ('<img alt="leader' in page) is (lost == "cache"), "the data of scenes are drawn anew"
    assert 'id="schedule-yaml"' in page
    broken = replace(sweep, spec_yaml="name: [")
    page = SweepReport(there)(broken)
    assert "<img" not in page
    assert str(broken.trials[0].number) in page


def test_overlays_are_made_once_until_the_winner_changes(
    workspace: Workspace, trained: SweepHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[SweepHistory] = []

    def look(history: SweepHistory, *rest: object, **more: object) -> tuple[()]:
        asked.append(history)
        return ()

    monkeypatch.setattr("lossweep.dashboards.report.sweep_report.validation_tiles", look)
    report, sweep = SweepReport(workspace), won_by_a_proposal(trained)
    report(sweep)
    report(sweep)
    assert len(asked) == 1
    report(trained if trained.winner() is trained.control() else replace(sweep, trials=sweep.trials[:2]))
    assert len(asked) == 2


def test_no_time_still_looks_at_a_batch(workspace: Workspace, trained: SweepHistory) -> None:
    assert len(validation_tiles(won_by_a_proposal(trained), SPEC, workspace, most=99, seconds=0.0)) == 4


def test_a_large_image_is_shown_where_the_two_differ_most() -> None:
    mask = np.zeros((300, 500), np.uint8)
    winner, control = mask.copy(), mask.copy()
    winner[:40, :40] = control[:40, :40] = 1  # both wrong
    control[250:280, 420:470] = 1  # only one
    part, differing = _window(mask, winner, control)
    assert differing == 30 * 50
    assert mask[part].shape == (192, 192)
    assert control[part].sum() == 30 * 50


def test_a_finished_sweep_lies_in_mlflow_with_its_report(workspace: Workspace, trained: SweepHistory) -> None:
    assert_equal(workspace.mlflow_uri, trained)
    assert missing_runs(trained, workspace.mlflow_uri) == ()
    parents, _ = read(workspace.mlflow_uri)
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=workspace.mlflow_uri)
    assert "report.html" in [a.path for a in client.list_artifacts(parents[0].run_id)]


def test_missing_runs_names_the_trials_that_mlflow_shows_wrongly(
    trained: SweepHistory, new_store: Callable[[], str], tmp_path: Path
) -> None:
    import mlflow

    store = new_store()
    every = tuple(trial.number for trial in trained.trials)
    absent = tmp_path / "none.db"
    assert missing_runs(trained, f"sqlite:///{absent}") == every
    assert not absent.exists(), "looking creates nothing"
    assert missing_runs(trained, store) == every
    sync(trained, store, report=None)
    assert missing_runs(trained, store) == ()
    before = read(store)
    client = mlflow.MlflowClient(tracking_uri=store)
    children = before[1]
    client.delete_run(children[0].run_id)
    client.set_tag(children[1].run_id, "outcome", "failed")
    client.set_terminated(children[2].run_id, "FAILED")
    client.log_metric(children[3].run_id, "ap", 0.123, step=10_000)
    client.create_run("1", tags=children[4].tags)
    client.set_tag(children[5].run_id, "mlflow.parentRunId", "gone")
    assert missing_runs(trained, store) == (0, 1, 2, 3, 4, 5)
    sync(trained, store, report=None)
    assert missing_runs(trained, store) == ()
    assert_equal(store, trained)
    client.delete_run(read(store)[0][0].run_id)
    assert missing_runs(trained, store) == every, "they hang in the air"
    sync(trained, store, report=None)
    assert missing_runs(trained, store) == ()
    assert_equal(store, trained)


def test_a_store_that_is_away_is_one_line_without_its_password(trained: SweepHistory) -> None:
    for call in (missing_runs, sync):
        with pytest.raises(UserError, match="can't be reached") as said:
            call(trained, "http://somebody:secret@127.0.0.1:1")
        assert "secret" not in str(said.value)
        assert "127.0.0.1:1" in str(said.value)
