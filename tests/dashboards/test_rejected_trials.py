"""A sweep by the recall of small objects whose space holds a loss without gradient: run, recorded, shown."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console

from lossweep.commands.train import evaluation_line
from lossweep.dashboards.mlflow.consistency import missing_runs
from lossweep.dashboards.mlflow.tracking import MlflowListener
from lossweep.dashboards.report.build import build_report
from lossweep.dashboards.terminal.tables import status
from lossweep.dashboards.terminal.trial_story import why
from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import run_sweep
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace

pytestmark = pytest.mark.slow

MODULE = "losses_without_gradient"
CLAMPED = f"{MODULE}:Clamped"
LOSSES = """
class Clamped:
    '''Blind to negative logits: to all that a model of rare foreground begins with.'''
    def __call__(self, logits, target):
        return logits.clamp(min=0).mean()
"""
SPEC = {
    "name": "hopeless",
    "seed": 5,
    "data": {"source": "scenes", "tile": 64, "train": 12, "val": 8, "test": 2},
    "model": {"encoder": "tu-test_resnet", "options": {"encoder_depth": 3, "decoder_channels": [16, 8, 8]}},
    "training": {"batch": 4, "precision": "float32"},
    "space": {
        "learning_rate": 1e-3,
        "phases": [{"losses": [{"term": CLAMPED}, {"term": "jaccard"}, {"term": "dice"}]}],
    },
    "sampler": {"sampler": "random"},
    "pruning": {"pruner": "none"},
    "controls": {
        "share": 0.2,
        "own": {"mine": {"phases": [{"loss": {"term": "jaccard"}, "learning_rate": 1e-3, "epochs": 1}]}},
    },
    "objective": {"metric": "tuned_object_recall_small"},
    "budget": {"trials": 5, "epochs": 1},
    "resources": {"runner": "inline"},
}


@pytest.fixture(scope="module")
def workspace(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("hopeless")
    shutil.copy(mlflow_template, root / "mlflow.db")
    where = Workspace(root, f"sqlite:///{root / 'lossweep.db'}", f"sqlite:///{root / 'mlflow.db'}")
    (root / f"{MODULE}.py").write_text(LOSSES)
    sys.path.insert(0, str(root))
    try:
        listener = MlflowListener(where.mlflow_uri, system_metrics=False)
        run_sweep(SweepSpec.model_validate(SPEC), where, (listener,), on_signal=False)
    finally:
        sys.path.remove(str(root))
    return where


@pytest.fixture(scope="module")
def history(workspace: Workspace) -> SweepHistory:
    ledger = Ledger(workspace.database_url)
    try:
        return ledger.history("hopeless")
    finally:
        ledger.close()


def said(thing: object) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(thing)
    return " ".join(captured.get().split())


def test_what_is_rejected_costs_no_epoch_and_no_trial(history: SweepHistory) -> None:
    rejected = [trial for trial in history.trials if trial.rejected]
    assert rejected
    assert all(str(trial.schedule).startswith(CLAMPED) for trial in rejected)
    assert all(trial.outcome is OutcomeKind.DIVERGED for trial in rejected)
    assert all(trial.reason.startswith("rejected: the loss has no gradient") for trial in rejected)
    assert evaluation_line(rejected[0].evaluations[0]) == f"epoch 0/1  {CLAMPED}", "as `lossweep train` says"
    trained = [trial for trial in history.trials if not trial.rejected]
    assert [trial.outcome for trial in trained] == [OutcomeKind.COMPLETED] * 5
    assert (history.ended, len(history.standing)) == (5, 5)
    tried = history.tried()
    assert tried.schedules + tried.plain + tried.own == 5


def test_the_recall_of_small_objects_is_the_score(history: SweepHistory) -> None:
    winner = history.winner()
    assert winner is not None
    assert winner.scored is not None
    assert history.metric == "tuned_object_recall_small"
    assert winner.score == winner.scored.metrics[history.metric]
    assert set(winner.scored.object_sizes) == {"vehicle"}


def test_its_views_show_it(history: SweepHistory, workspace: Workspace) -> None:
    rejected = next(trial for trial in history.trials if trial.rejected)
    story = said(why(history, rejected.number))
    assert "rejected: the loss has no gradient before any training" in story
    assert "no gradient at first" in story
    assert "diverged" in said(status(history))
    page = build_report(history)
    assert "the loss has no gradient before any training" in page
    assert "object recall, small" in page
    assert "Losses that train the same way" in page
    assert "Sizes of vehicle" in page
    assert not missing_runs(history, workspace.mlflow_uri)


def test_losses_that_train_alike_are_named(history: SweepHistory) -> None:
    assert history.trials[0].control == "mine"
    dice = next(trial for trial in history.trials if str(trial.schedule).startswith("dice"))
    assert "dice: same gradient as jaccard (#0) times" in said(why(history, dice.number))
