"""MLflow shows the sweep, number by number, whatever happens on the way."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import histories
import pytest
from listening import SWEEP, listener, play
from mlflow_reading import assert_equal, read
from sweep_events import GO_ON, events

from lossweep.dashboards.mlflow import system_metrics
from lossweep.dashboards.mlflow.tracking import MlflowListener, sync
from lossweep.search.pruning import audit
from lossweep.search.study.events import (
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEvaluated,
    TrialStarted,
)
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.files.errors import UserError

pytestmark = pytest.mark.slow


@pytest.fixture
def sweep() -> SweepHistory:
    return SWEEP


@pytest.fixture(scope="module")
def listened(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store that a listener has written the whole sweep into; tests only read it."""
    folder = tmp_path_factory.mktemp("listened")
    shutil.copy(mlflow_template, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    play(MlflowListener(uri, report=lambda history: f"<p>{history.name}</p>"), events(SWEEP))
    return uri


def test_a_listened_sweep_equals_the_study_number_by_number(listened: str) -> None:
    assert_equal(listened, SWEEP)


def test_runs_carry_names_tags_parameters_data_and_the_schedule(listened: str, tmp_path: Path) -> None:
    import mlflow

    parents, children = read(listened)
    winner, control = children[2], children[0]
    assert winner.tags["mlflow.runName"] == f"#2 {SWEEP.trials[2].schedule}"
    assert winner.tags["loss_family"] == "weighted_ce → jaccard"
    assert winner.tags["use_case"] == "counting"
    assert (winner.tags["is_control"], control.tags["is_control"]) == ("false", "true")
    assert winner.datasets == [("vehicles data", "ab" * 16)]
    assert parents[0].tags["budget.trials"] == "16"
    assert parents[0].params["data.source"] == "scenes"
    assert "Trial 2 leads with F1 (tuned threshold)" in parents[0].tags["mlflow.note.content"]
    assert str(audit(SWEEP)) in parents[0].tags["mlflow.note.content"]
    newest = {key: max(values)[1] for key, values in parents[0].values.items()}
    assert (newest["best/score"], newest["control/score"]) == (SWEEP.trials[2].score, SWEEP.trials[0].score)
    client = mlflow.MlflowClient(tracking_uri=listened)
    assert [a.path for a in client.list_artifacts(winner.run_id)] == ["schedule.yaml"]
    assert [a.path for a in client.list_artifacts(children[5].run_id)] == ["schedule.yaml", "traceback.txt"]
    assert [a.path for a in client.list_artifacts(parents[0].run_id)] == ["report.html", "sweep.yaml"]
    report = client.download_artifacts(parents[0].run_id, "report.html", str(tmp_path))
    assert Path(report).read_text() == "<p>vehicles</p>"
    statuses = {
        children[trial.number].tags["outcome"]: children[trial.number].status for trial in SWEEP.trials
    }
    # Red means trouble: what was stopped by decision is finished.
    assert statuses == {
        "completed": "FINISHED",
        "pruned": "FINISHED",
        "diverged": "FINISHED",
        "failed": "FAILED",
    }


def test_a_resumed_driver_goes_on_in_the_same_runs(store: str, sweep: SweepHistory) -> None:
    told = events(sweep)
    first, second = listener(store), listener(store)
    cut = next(i for i, e in enumerate(told) if isinstance(e, TrialEvaluated) and e.number == 2) + 4
    for event in told[:cut]:
        first.handle(event)
    first.close()  # the driver died in the middle of trial 2
    done = next(event.trial for event in told if isinstance(event, TrialEnded))
    cut_trial = replace(
        sweep.trials[2],
        evaluations=sweep.trials[2].evaluations[:4],
        outcome=OutcomeKind.INTERRUPTED,
        score=None,
        ended=None,
    )
    assert done.number == 0
    so_far = replace(sweep, trials=(*sweep.trials[:2], cut_trial), state="running")
    second.handle(SweepStarted(so_far))
    second.handle(TrialStarted(replace(cut_trial, outcome=OutcomeKind.RUNNING)))
    # A driver that repeats what it knows must not write a number twice.
    for evaluation in sweep.trials[2].evaluations[2:]:
        second.handle(TrialEvaluated(2, evaluation, GO_ON))
    end = next(i for i, e in enumerate(told) if isinstance(e, TrialEnded) and e.trial.number == 2)
    play(second, told[end:])
    assert_equal(store, sweep)


def test_a_paused_trial_goes_on_in_its_run_and_one_that_is_not_thawed_ends_in_it(
    store: str, sweep: SweepHistory
) -> None:
    told = events(sweep)
    number = next(t.number for t in sweep.trials if t.outcome is OutcomeKind.COMPLETED and t.control is None)
    whole = sweep.trials[number]
    cut = next(i for i, e in enumerate(told) if isinstance(e, TrialEvaluated) and e.number == number) + 2
    waits = replace(
        whole, evaluations=whole.evaluations[:2], outcome=OutcomeKind.PAUSED, score=None, ended=None
    )
    so_far = replace(sweep, trials=(*sweep.trials[:number], waits), state="running")
    first = listener(store)
    play(first, [*told[:cut], TrialEnded(waits)])
    assert read(store)[1][number].status == "SCHEDULED"  # it did not end, and may go on
    assert_equal(store, so_far)

    pruned = replace(waits, outcome=OutcomeKind.PRUNED, reason="worse; paused to the end", ended=whole.ended)
    ended = replace(so_far, trials=(*sweep.trials[:number], pruned), state="finished")
    second = listener(store)
    play(second, [SweepStarted(so_far), TrialEnded(pruned), SweepEnded(ended)])
    assert_equal(store, ended)

    third = listener(store)  # or else it is thawed
    play(third, [SweepStarted(so_far), TrialStarted(replace(waits, outcome=OutcomeKind.RUNNING))])
    assert read(store)[1][number].status == "RUNNING"
    play(listener(store), [SweepStarted(so_far), *told[cut:]])
    assert_equal(store, sweep)


def test_sync_rebuilds_an_empty_store_and_then_changes_nothing(store: str, sweep: SweepHistory) -> None:
    assert sync(sweep, store, report=None) == len(sweep.trials)
    assert_equal(store, sweep)
    before = read(store)
    assert sync(sweep, store, report=None) == 0
    assert read(store) == before


def test_a_resumed_sweep_may_have_a_larger_budget(store: str, sweep: SweepHistory, tmp_path: Path) -> None:
    import mlflow

    play(listener(store), events(replace(sweep, trials=sweep.trials[:3])))
    before, _ = read(store)
    larger = replace(sweep, spec_yaml=sweep.spec_yaml.replace("trials: 16", "trials: 32"), budget_trials=32)
    resumed = listener(store)
    resumed.handle(SweepStarted(replace(larger, trials=sweep.trials[:3], state="running")))
    play(resumed, [TrialEnded(trial) for trial in sweep.trials[3:]] + [SweepEnded(larger)])
    assert resumed.dropped == 0
    assert_equal(store, larger)
    after, _ = read(store)
    assert [run.run_id for run in after] == [run.run_id for run in before]
    assert after[0].tags["budget.trials"] == "32"
    assert "of 32" in after[0].tags["mlflow.note.content"]
    client = mlflow.MlflowClient(tracking_uri=store)
    kept = Path(client.download_artifacts(after[0].run_id, "sweep.yaml", str(tmp_path)))
    assert kept.read_text() == larger.spec_yaml


def test_the_description_says_how_the_sweep_stands_in_the_middle(store: str, sweep: SweepHistory) -> None:
    told = events(sweep)
    end = next(i for i, e in enumerate(told) if isinstance(e, TrialEnded) and e.trial.number == 2)
    play(listener(store), told[: end + 2])  # and trial 3 has started
    parents, children = read(store)
    assert parents[0].status == "RUNNING"
    assert "Trial 2 leads" in parents[0].tags["mlflow.note.content"]
    assert "3 completed of 16" in parents[0].tags["mlflow.note.content"]
    assert {number: run.status for number, run in children.items()} == {
        0: "FINISHED",
        1: "FINISHED",
        2: "FINISHED",
        3: "RUNNING",
    }


def test_system_metrics_are_recorded_with_the_sweeps_run(
    store: str, sweep: SweepHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_metrics, "INTERVAL", 0.2)
    recording = listener(store, system_metrics=True)
    recording.handle(events(sweep)[0])
    until = time.monotonic() + 60
    while time.monotonic() < until:
        parents, _ = read(store) if recording.pending == 0 else ([], {})
        if parents and any(key.startswith("system/") for key in parents[0].values):
            break
        time.sleep(0.1)
    play(recording, events(sweep)[1:])
    parents, _ = read(store)
    assert "system/cpu_utilization_percentage" in parents[0].values
    assert_equal(store, sweep)


def test_what_system_metrics_need_is_named_before_the_sweep_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="psutil, nvidia-ml-py") as said:
        system_metrics.check_recorder(gpu=True)
    assert "lossweep[system]" in str(said.value)


def test_sync_equals_listening(listened: str, store: str, sweep: SweepHistory) -> None:
    sync(sweep, store, report=None)
    ours, theirs = read(listened)[1], read(store)[1]
    for number, run in ours.items():
        assert run.values == theirs[number].values
        assert run.params == theirs[number].params


def test_sync_mends_missing_false_and_foreign_numbers(store: str, sweep: SweepHistory) -> None:
    import mlflow

    sync(sweep, store, report=None)
    client = mlflow.MlflowClient(tracking_uri=store)
    _, children = read(store)
    client.log_metric(children[0].run_id, "recall", 0.123, step=32)  # beside the true value of the same step
    client.log_metric(children[1].run_id, "foreign", 1.0, step=1)
    client.set_tag(children[2].run_id, "outcome", "failed")
    client.delete_run(children[3].run_id)
    client.create_run("1", tags={**children[0].tags, "lossweep.trial": "99"})
    client.create_run("1", tags=children[4].tags)
    assert sync(sweep, store, report=None) >= 4
    assert_equal(store, sweep)


def test_two_sweeps_share_an_experiment_and_not_a_run(store: str, sweep: SweepHistory) -> None:
    import mlflow

    other = replace(sweep, name="ships", trials=sweep.trials[:2])
    sync(sweep, store, report=None)
    sync(other, store, report=None)
    client = mlflow.MlflowClient(tracking_uri=store)
    runs = client.search_runs(["1"])
    assert len(runs) == len(sweep.trials) + 1 + 3
    assert sync(sweep, store, report=None) == 0


def test_non_finite_values_never_reach_mlflow(store: str, sweep: SweepHistory) -> None:
    bad = replace(sweep.trials[0].evaluations[-1], gradient_norm=float("nan"), losses={"total": float("inf")})
    trial = replace(sweep.trials[0], evaluations=(*sweep.trials[0].evaluations[:-1], bad))
    play(listener(store), events(replace(sweep, trials=(trial,))))
    _, children = read(store)
    assert [step for step, _ in children[0].values["loss/total"]][-1] == sweep.trials[0].evaluations[-2].step
    assert len(children[0].values["train/gradient_norm"]) == len(trial.evaluations) - 1


def test_hostile_names_are_stored_harmless(store: str) -> None:
    sweep = histories.sweep(proposals=0, hostile=True)
    play(listener(store), events(sweep))
    assert_equal(store, sweep)
    parents, children = read(store)
    assert histories.HOSTILE not in parents[0].tags["mlflow.note.content"]
    assert any(key.startswith("precision_script") for key in children[2].values)
