"""Leaders and control trained again with fresh seeds: as a driver runs it, is killed in it and goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from small_sweeps import spec, task, workspace

from lossweep.search.control_spec import ConfirmSpec
from lossweep.search.ledger import Ledger
from lossweep.search.ledger.journal import SweepJournal
from lossweep.search.ledger.patience import PatientStorage
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.existing import existing_sweep
from lossweep.search.running.stopping import StopRequest
from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.search.simulation.training_log import trained
from lossweep.search.study.confirmation import Role
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.record import StudyRecord
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.verdicts.result import verdict_of
from lossweep.search.verdicts.sentence import sentence
from lossweep.spaces.schedules.controls import is_plain
from tests.dying import die_at, run_until_killed

EPOCHS, SEEDS = 4, 3


def confirmed_spec(**changes: Any) -> SweepSpec:
    plain: dict[str, Any] = {"space": {"preset": "cycling"}, "confirm": {"top": 1, "seeds": SEEDS}}
    return spec(trials=8, epochs=EPOCHS, **{**plain, **changes})


def run(root: Path, **options: Any) -> SweepHistory:
    return run_sweep(confirmed_spec(), workspace(root), task=task(root / "work"), on_signal=False, **options)


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SweepHistory]:
    root = tmp_path_factory.mktemp("unkilled")
    return root, run(root)


def said(history: SweepHistory) -> str:
    verdict = verdict_of(history)
    assert verdict is not None
    return sentence(verdict, "F1", history.name)


def test_the_search_comes_first_and_every_arm_gets_the_same_fresh_seeds(
    unkilled: tuple[Path, SweepHistory],
) -> None:
    _, history = unkilled
    found = history.confirmation
    assert found is not None
    assert found.complete
    assert history.state == "finished"
    assert len(history.trials) == 8
    assert min(trial.number for trial in found.trials) == 8
    seeds = {k: {t.seed for t in found.trials if t.confirms == k} for k in range(SEEDS)}
    assert all(len(each) == 1 for each in seeds.values())
    assert len(set.union(*seeds.values())) == SEEDS
    assert not set.union(*seeds.values()) & {trial.seed for trial in history.trials}
    roles = [arm.role for arm in found.plan.arms]
    assert roles[:2] == [Role.CONTROL, Role.LEADER]
    control, leader = history.control(), history.contender()
    assert control is not None
    assert found.plan.control.schedule == control.schedule
    assert is_plain(control.schedule)
    assert leader is not None
    assert found.plan.leaders[0].trial == leader.number
    for arm in found.plan.arms:
        assert sorted(found.of(arm.schedule)) == list(range(SEEDS))


def test_they_read_the_test_split_once_each_and_no_trial_of_the_search_does(
    unkilled: tuple[Path, SweepHistory],
) -> None:
    _, history = unkilled
    assert history.confirmation is not None
    assert all(trial.held_out is None for trial in history.trials)
    for trial in history.confirmation.trials:
        assert sum(evaluation.held_out is not None for evaluation in trial.evaluations) == 1
        assert trial.held_out is not None
        assert trial.held_out.metric == "tuned_f1"


def test_optuna_neither_proposes_them_nor_takes_one_for_its_best(
    unkilled: tuple[Path, SweepHistory],
) -> None:
    root, history = unkilled
    ledger = Ledger(workspace(root).database_url)
    study = optuna.load_study(study_name="small", storage=ledger.storage)
    winner = history.winner()
    assert winner is not None
    assert study.best_trial.number == winner.number
    assert history.confirmation is not None
    assert len(study.trials) == 8 + len(history.confirmation.trials)
    assert all(not study.trials[trial.number].params for trial in history.confirmation.trials)
    ledger.close()


def test_the_sentence_names_both_sides_and_how_many_were_tried(unkilled: tuple[Path, SweepHistory]) -> None:
    _, history = unkilled
    words = said(history)
    tried = history.tried()
    assert tried.plain + tried.schedules == 8
    assert (
        f"The best of {tried.schedules} loss schedules was held against the best of {tried.plain} plain"
        in words
    )
    assert "plain cross-entropy at" in words
    assert f"{SEEDS} fresh seeds" in words


MOMENTS: list[tuple[type, str, int, str]] = [
    (StudyRecord, "plan_confirmation", 1, "before"),
    (StudyRecord, "plan_confirmation", 1, "after"),
    (PatientStorage, "_create_new_trial", 11, "after"),
    (PlantedTrainer, "_save", 8 * EPOCHS + 6, "before"),
    (PlantedTrainer, "_save", 8 * EPOCHS + 8, "before"),
    (PlantedTrainer, "_save", 8 * EPOCHS + 8, "after"),
    (SweepJournal, "record", 8 * EPOCHS + 8, "after"),
    (PatientStorage, "set_trial_state_values", 11, "before"),
    (PatientStorage, "set_trial_state_values", 11, "after"),
]


def _drive_and_die(root: Path, moment: tuple[type, str, int, str]) -> None:
    die_at(*moment)
    run(root)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda m: f"{m[3]}-{m[1]}-{m[2]}")
def test_killed_in_the_middle_and_resumed_it_says_the_same_digit_for_digit(
    tmp_path: Path, moment: tuple[type, str, int, str], unkilled: tuple[Path, SweepHistory]
) -> None:
    run_until_killed(_drive_and_die, tmp_path, moment)
    state = existing_sweep(workspace(tmp_path), "small")
    assert state is not None
    assert not state.finished
    history = run(tmp_path, resume=True)
    reference = unkilled[1]
    assert history.confirmation is not None
    assert reference.confirmation is not None
    assert history.confirmation.plan == reference.confirmation.plan
    assert said(history) == said(reference)
    assert [t.evaluations for t in history.recorded] == [t.evaluations for t in reference.recorded]
    # No epoch was trained again but the one in hand, and so no test split was read again that was read.
    again = Counter(trained(tmp_path / "work"))
    assert sum(again.values()) <= len(history.recorded) * EPOCHS + 1


def test_more_seeds_go_on_with_the_same_arms_and_say_how_often_the_test_split_was_read(
    tmp_path: Path,
) -> None:
    first = run(tmp_path)
    assert first.confirmation is not None
    more = run(tmp_path, resume=True, confirm=ConfirmSpec(top=1, seeds=SEEDS + 2))
    assert more.state == "finished"
    assert more.confirmation is not None
    assert more.confirmation.plan.arms == first.confirmation.plan.arms
    assert more.confirmation.plan.reads_before == len(first.confirmation.trials)
    assert more.confirmation.complete
    kept = more.confirmation.trials[: len(first.confirmation.trials)]
    assert kept == first.confirmation.trials
    arms = len({arm.schedule for arm in more.confirmation.plan.arms})
    assert len(more.confirmation.trials) == len(kept) + 2 * arms
    assert f"had been read {len(kept)} times before" in said(more)
    again = run(tmp_path, resume=True, confirm=ConfirmSpec(top=1, seeds=SEEDS + 2))
    assert again.confirmation == more.confirmation


class _StopAfter:
    """Asks for a stop once so many trials have ended."""

    def __init__(self, stop: StopRequest, trials: int) -> None:
        self._stop, self._left = stop, trials

    def handle(self, event: object) -> None:
        if type(event).__name__ == "TrialEnded":
            self._left -= 1
            if not self._left:
                self._stop.set("enough")

    def close(self) -> None:
        pass


def test_an_unfinished_search_may_be_confirmed_as_it_stands(tmp_path: Path) -> None:
    stop = StopRequest()
    where = workspace(tmp_path)
    bare = confirmed_spec(confirm=None)
    stopped = run_sweep(bare, where, [_StopAfter(stop, 7)], task=task(tmp_path / "work"), stop=stop)
    assert stopped.state == "interrupted"
    assert len(stopped.trials) == 7
    confirmed = run_sweep(
        bare,
        where,
        task=task(tmp_path / "work"),
        resume=True,
        confirm=ConfirmSpec(top=1, seeds=2),
        on_signal=False,
    )
    assert confirmed.state == "interrupted"
    assert confirmed.trials == stopped.trials
    assert confirmed.confirmation is not None
    assert confirmed.confirmation.complete
    # The search goes on afterwards, by numbers of its own, and is not confused by what was confirmed.
    finished = run_sweep(bare, where, task=task(tmp_path / "work"), resume=True, on_signal=False)
    assert finished.state == "finished"
    assert len(finished.trials) == 8
    assert finished.trials[:7] == stopped.trials
    assert finished.confirmation == replace(confirmed.confirmation)


def test_without_a_leader_there_is_nothing_to_confirm(tmp_path: Path) -> None:
    work = task(tmp_path / "work", {3: "exception"})
    lonely = spec(trials=3, epochs=EPOCHS, confirm={"top": 1, "seeds": 2}, controls={"at_least": 3})
    history = run_sweep(
        lonely.model_copy(update={"budget": lonely.budget.model_copy(update={"trials": 1})}),
        workspace(tmp_path),
        task=work,
    )
    assert history.state == "finished"
    assert history.confirmation is None
    assert verdict_of(history) is None
