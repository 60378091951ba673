"""Confirmation in MLflow: runs of their own kind, the verdict on the sweep's row, and all of it counted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import histories
import optuna
import pytest
from mlflow_reading import assert_equal, read
from sweep_events import events

from lossweep.dashboards.mlflow.consistency import missing_runs, run_of
from lossweep.dashboards.mlflow.content import trial_content
from lossweep.dashboards.mlflow.sweep_content import description, sweep_content
from lossweep.dashboards.mlflow.tracking import MlflowListener, sync
from lossweep.dashboards.mlflow.views import saved_views
from lossweep.dashboards.result import sweep_result
from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.task import TrainingTask
from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.search.study.confirmation import Confirmation, Role
from lossweep.search.study.events import SweepStarted, TrialEnded
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.upkeep.doctor import MlflowMirror, examine
from lossweep.search.verdicts.result import verdict_of
from lossweep.search.workspace import Workspace
from lossweep.spaces.class_prior import ClassPrior

SWEEP = histories.confirmed(proposals=0, seeds=2)


def confirmation(sweep: SweepHistory) -> Confirmation:
    assert sweep.confirmation is not None
    return sweep.confirmation


def of_arm(role: Role, seed: int = 0) -> TrialHistory:
    arm = next(arm for arm in confirmation(SWEEP).plan.arms if arm.role is role)
    return confirmation(SWEEP).of(arm.schedule)[seed]


# --- what a run is to hold -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "seed", "name"),
    [
        (Role.CONTROL, 0, "confirm #6 [control] seed 1: "),
        (Role.LEADER, 1, "confirm #2 seed 2: "),
        (Role.RATES_ALONE, 1, "confirm #2 [rates_alone] seed 2: "),
    ],
)
def test_a_confirming_run_says_what_it_confirms(role: Role, seed: int, name: str) -> None:
    content = trial_content(of_arm(role, seed), SWEEP)
    assert content.name.startswith(name)
    assert content.tags["lossweep.role"] == "confirmation"
    assert content.tags["arm_role"] == role.value
    assert content.tags["arm"] == f"#{content.tags['confirms_trial']} {role}"
    assert content.tags["seed_index"] == str(seed + 1)
    assert content.tags["is_control"] == str(role is Role.CONTROL).lower()


def test_a_schedule_of_two_arms_names_both() -> None:
    plan = confirmation(SWEEP).plan
    twice = replace(plan, arms=(*plan.arms, replace(plan.control, role=Role.RATES_ALONE, trial=1)))
    sweep = replace(SWEEP, confirmation=replace(confirmation(SWEEP), plan=twice))
    tags = trial_content(of_arm(Role.CONTROL), sweep).tags
    assert tags["arm"] == "#6 control, #1 rates_alone"
    assert tags["confirms_trial"] == "6, 1"


def test_an_arm_of_an_earlier_confirmation_is_still_a_confirmation() -> None:
    plan = confirmation(SWEEP).plan
    later = replace(plan, arms=tuple(arm for arm in plan.arms if arm.role is not Role.ONE_LOSS))
    sweep = replace(SWEEP, confirmation=replace(confirmation(SWEEP), plan=later))
    content = trial_content(of_arm(Role.ONE_LOSS), sweep)
    assert content.tags["arm"] == "of an earlier confirmation"
    assert content.tags["lossweep.role"] == "confirmation"


def test_the_test_split_is_apart_from_the_searchs_figures() -> None:
    trial = of_arm(Role.LEADER)
    read_once = trial.held_out
    assert read_once is not None
    endless = replace(read_once, metrics={**read_once.metrics, "ap": math.nan, "iou": 0.25})
    ended = replace(trial.evaluations[-1], held_out=endless)
    trial = replace(trial, evaluations=(*trial.evaluations[:-1], ended))
    held = {point.key: point.value for point in trial_content(trial, SWEEP).points}
    assert held["test/score"] == read_once.score
    assert held["test/iou"] == 0.25
    assert "test/ap" not in held, "it is not finite"
    assert not any(key.startswith("best/") for key in held)
    searched = {point.key for trial in SWEEP.trials for point in trial_content(trial, SWEEP).points}
    assert not any(key.startswith("test/") for key in searched)


def test_a_training_that_runs_or_diverged_has_read_no_test_split() -> None:
    for sweep in (
        histories.confirmed(proposals=0, seeds=2, ended=3),
        histories.confirmed(proposals=0, seeds=2, diverged=(Role.LEADER, 1)),
    ):
        (unread,) = [trial for trial in confirmation(sweep).trials if trial.held_out is None]
        content = trial_content(unread, sweep)
        assert content.tags["outcome"] in ("running", "diverged")
        assert not any(point.key.startswith(("test/", "best/")) for point in content.points)


# --- the sweep's row -------------------------------------------------------------------------------------


def test_the_sweeps_row_has_the_verdict_in_words_and_figures() -> None:
    verdict = verdict_of(SWEEP)
    assert verdict is not None
    content = sweep_content(SWEEP)
    low, high = verdict.headline.judged.interval
    told = {key: value for key, value in content.tags.items() if key.startswith("verdict")}
    assert told == {
        "verdict": verdict.headline.judged.verdict.value,
        "verdict.trial": "2",
        "verdict.difference": f"{verdict.headline.judged.difference.mean:+.3f}",
        "verdict.interval": f"{low:+.3f} to {high:+.3f}",
        "verdict.seeds": "2",
        "verdict.complete": "true",
    }
    assert content.tags["control"] == (
        "plain cross-entropy at 0.00316 dropping to a tenth, the best of 4 tried"
    )
    figures = {point.key: point.value for point in content.points}
    assert figures["confirmed/difference"] == verdict.headline.judged.difference.mean
    assert figures["confirmed/control"] == verdict.control.summary.mean
    contender = SWEEP.contender()
    assert contender is not None
    assert figures["best/score"] == contender.score, "the search's figure stays the search's"


def test_the_description_starts_with_the_verdict_and_shows_every_arm() -> None:
    page, verdict = description(SWEEP), verdict_of(SWEEP)
    assert verdict is not None
    assert page.startswith(f"**{sweep_result(SWEEP).sentence()}**")
    for scores in verdict.arms:
        row = f"| {scores.summary.mean:.3f} | {scores.summary.deviation:.3f} | 2 | "
        assert row in page
    control = "| the control, plain cross-entropy at 0.00316 dropping to a tenth, the best of 4 tried |"
    assert control in page
    trainings = confirmation(SWEEP).planned
    assert f"Confirmation: {trainings} of {trainings} trainings." in page


def test_a_sweep_that_is_not_confirmed_has_no_verdict() -> None:
    early = histories.confirmed(proposals=0, seeds=2, ended=3)
    for sweep in (early, replace(SWEEP, confirmation=None)):
        content = sweep_content(sweep)
        assert not any(key.startswith("verdict") for key in content.tags)
        assert not any(point.key.startswith("confirmed/") for point in content.points)
    assert f"Confirmation: 3 of {confirmation(early).planned} trainings." in description(early)


def test_views_of_the_search_leave_confirmations_out() -> None:
    views: dict[str, Mapping[str, object]] = {}
    for value in saved_views(SWEEP).values():
        envelope = json.loads(value)
        views[envelope["name"].partition(": ")[2]] = json.loads(envelope["state"])
    for name in ("leaderboard", "curves", "by outcome"):
        assert "= 'trial'" in str(views[name]["searchFilter"])
        assert "test/" not in json.dumps(views[name])
    shown = views["confirmation"]
    assert "= 'confirmation'" in str(shown["searchFilter"])
    assert "best/" not in json.dumps(shown)
    for column in ("tags.`arm`", "tags.`seed_index`", "metrics.`test/score`", "metrics.`test/tuned_f1`"):
        assert column in shown["selectedColumns"]  # type: ignore[operator] # a list
    assert shown["groupBy"] == {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "tag", "groupByData": "arm"}],
    }


# --- MLflow itself ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_listened_confirmation_equals_the_study_and_is_counted(store: str) -> None:
    import mlflow

    listener = MlflowListener(store, report=None)
    for event in events(SWEEP):
        listener.handle(event)
    listener.close()
    assert (listener.pending, listener.dropped) == (0, 0)
    assert_equal(store, SWEEP)
    assert missing_runs(SWEEP, store) == ()
    assert sync(SWEEP, store, report=None) == 0
    _, children = read(store)
    chosen = confirmation(SWEEP).trials[3].number
    assert run_of(SWEEP, chosen, store) == children[chosen].run_id
    client = mlflow.MlflowClient(tracking_uri=store)
    client.delete_run(children[chosen].run_id)
    client.log_metric(children[chosen + 1].run_id, "test/score", 0.999, step=10_000)
    client.create_run("1", tags={**children[chosen].tags, "lossweep.trial": "99"})
    assert missing_runs(SWEEP, store) == (chosen, chosen + 1)
    assert sync(SWEEP, store, report=None) >= 2
    assert_equal(store, SWEEP)
    assert missing_runs(SWEEP, store) == ()


@pytest.mark.slow
def test_a_confirmation_that_is_resumed_goes_on_in_the_same_runs(store: str) -> None:
    told = events(SWEEP)
    ends = [i for i, event in enumerate(told) if isinstance(event, TrialEnded)]
    cut = ends[len(SWEEP.trials) + 2] + 1
    first = MlflowListener(store, report=None)
    for event in told[:cut]:
        first.handle(event)
    first.close()
    _, children = read(store)
    before = {number: run.run_id for number, run in children.items()}
    assert len(before) == len(SWEEP.trials) + 3
    arms = [children[trial.number].tags["arm"] for trial in confirmation(SWEEP).trials[:3]]
    assert arms == ["#6 control", "#2 leader", "#2 rates_alone"], "known before the sweep's end"
    so_far = replace(confirmation(SWEEP), trials=confirmation(SWEEP).trials[:3])
    second = MlflowListener(store, report=None)
    second.handle(SweepStarted(replace(SWEEP, confirmation=so_far, state="running")))
    for event in told[cut:]:
        second.handle(event)
    second.close()
    assert_equal(store, SWEEP)
    after = {number: run.run_id for number, run in read(store)[1].items()}
    assert before.items() <= after.items()


@pytest.mark.slow
def test_mlflow_ledger_and_optuna_count_the_same_trials(tmp_path: Path, new_store: Callable[[], str]) -> None:
    store = new_store()
    where = Workspace(tmp_path, f"sqlite:///{tmp_path / 'lossweep.db'}", store)
    spec = SweepSpec.model_validate(
        {
            "name": "counted",
            "data": {"source": "scenes"},
            "space": {"preset": "single"},
            "objective": {"use_case": "balanced"},
            "budget": {"trials": 8, "epochs": 2},
            "confirm": {"top": 1, "seeds": 2},
            "resources": {"runner": "inline"},
        }
    )
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
    task = TrainingTask(PlantedTrainer(tmp_path / "work", 0.0, {}), prior, "sha256:0")
    history = run_sweep(spec, where, [MlflowListener(store, report=None)], task=task)
    confirming = confirmation(history)
    assert confirming.complete
    assert confirming.done == 2 * len({arm.schedule for arm in confirming.plan.arms}) > 2
    assert_equal(store, history)
    ledger = Ledger(where.database_url)
    in_optuna = optuna.load_study(study_name="counted", storage=ledger.storage).trials
    ledger.close()
    assert [t.number for t in in_optuna] == [t.number for t in history.recorded] == sorted(read(store)[1])
    mirror = MlflowMirror(lambda sweep: missing_runs(sweep, store), lambda sweep: sync(sweep, store))
    assert examine(where, "counted", mirror) == ()
    _, children = read(store)
    # The leader's rates may be the control's: then one run is both arms.
    assert children[confirming.trials[0].number].tags["arm_role"] in ("control", "control, rates_alone")
    import mlflow

    mlflow.MlflowClient(tracking_uri=store).delete_run(children[confirming.trials[0].number].run_id)
    (found,) = examine(where, "counted", mirror)
    assert found.kind == "missing runs"
    assert found.mend is not None
    assert found.mend() == "1 runs written"
    assert examine(where, "counted", mirror) == ()
