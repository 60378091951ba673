"""Sweeps that start from former winners, and the user's own baselines beside them, driven and resumed."""

from __future__ import annotations

from pathlib import Path

from confirmed_sweeps import ReadingTrainer, reading_task
from small_sweeps import spec, workspace

from lossweep.search.control_spec import ConfirmSpec
from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import run_sweep
from lossweep.search.study.confirmation import Role
from lossweep.search.study.history import SweepHistory
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.verdicts.result import verdict_of
from lossweep.spaces.schedules.schedule import LossSchedule

WINNERS = ("jaccard @1e-3 x8 | 8 epochs", "dice @2e-3 x4 -> jaccard @1e-4 x4 | 8 epochs")
CONTROLS = {"at_least": 2, "share": 0.25, "named": ["weighted_ce"]}


def warm(trials: int, **changes: object) -> SweepSpec:
    plain = spec(trials=trials, controls=CONTROLS, **changes).model_dump(mode="json")  # type: ignore[arg-type]
    return SweepSpec.model_validate(
        {**plain, "warm_start": [LossSchedule.parse(line).plain() for line in WINNERS]}
    )


def kinds(history: SweepHistory) -> list[str | int | None]:
    return [t.control if t.warm_start is None else t.warm_start for t in history.trials]


def test_former_winners_are_the_first_proposals(tmp_path: Path) -> None:
    history = run_sweep(warm(8), workspace(tmp_path), task=reading_task(tmp_path / "work"))
    plain = "cross_entropy"
    assert kinds(history) == [plain, plain, "weighted_ce", 0, 1, None, None, None]
    first, second = history.trials[3], history.trials[4]
    assert str(first.schedule) == "jaccard @1e-3 x4 | 4 epochs", "its lengths fit the budget"
    assert first.parameters["phase0.loss"] == "jaccard", "in the space, so the sampler learns from it"
    assert (second.schedule.epochs, second.parameters) == (4, {}), "not in the space, as a control may be"
    assert (first.control, second.control) == (None, None)


def test_a_resumed_sweep_goes_on_with_the_rest_of_them(tmp_path: Path) -> None:
    where, work = workspace(tmp_path), reading_task(tmp_path / "work")
    run_sweep(warm(4), where, task=work)
    resumed = run_sweep(warm(6), where, resume=True, task=work)
    whole = run_sweep(warm(6), workspace(tmp_path / "whole"), task=reading_task(tmp_path / "else"))
    assert kinds(resumed)[:4] == ["cross_entropy", "cross_entropy", "weighted_ce", 0]
    assert kinds(resumed)[4] == 1
    assert [t.warm_start for t in whole.trials if t.warm_start is not None] == [0, 1]


def test_a_baseline_is_trained_and_confirmed_by_its_own_settings(tmp_path: Path) -> None:
    # The same schedule twice: what tells the trainings apart is their settings.
    own = {"today": {"schedule": "jaccard @1e-3 x4", "training": {"optimizer": "sgd"}}}
    controls = {"search": False, "named": [], "own": own}
    file = spec(trials=3, controls=controls).model_dump(mode="json")
    for_jaccard = {"phases": [{"losses": [{"term": "jaccard"}], "learning_rate": 1e-3}]}
    sweep = SweepSpec.model_validate({**file, "space": for_jaccard})
    sweep = sweep.model_copy(update={"controls": sweep.controls.resolve(tmp_path, 4, sweep.training)})
    where, work = workspace(tmp_path), reading_task(tmp_path / "work")
    trainer = work.trainer
    assert isinstance(trainer, ReadingTrainer)
    history = run_sweep(sweep, where, task=work)
    assert [t.control for t in history.trials] == ["today", None, None]
    assert [trainer.optimizer(number) for number in range(3)] == ["sgd", "adamw", "adamw"]
    control, plan = history.control(), history.plan_confirmation(top=1, seeds=2, margin=0.0)
    assert control is not None
    assert control.control == "today", "in place of the searched control"
    assert plan is not None

    confirmed = run_sweep(
        sweep, where, resume=True, task=work, confirm=ConfirmSpec(top=1, seeds=2)
    ).confirmation
    assert confirmed is not None
    assert confirmed.plan.control.baseline == "today"
    (leader,) = confirmed.plan.leaders
    assert (leader.schedule, leader.baseline) == (confirmed.plan.control.schedule, None)
    for arm, optimizer in ((confirmed.plan.control, "sgd"), (leader, "adamw")):
        trials = confirmed.of(arm.schedule, arm.baseline)
        assert sorted(trials) == [0, 1]
        assert {trainer.optimizer(trial.number) for trial in trials.values()} == {optimizer}
    pairs = [confirmed.of(arm.schedule, arm.baseline)[0].seed for arm in (confirmed.plan.control, leader)]
    assert len(set(pairs)) == 1, "the same seed for both"
    ledger = Ledger(where.database_url)
    verdict = verdict_of(ledger.history("small"))
    ledger.close()
    assert verdict is not None
    assert len(verdict.control.scores) == 2
    assert verdict.control.arm.role is Role.CONTROL
