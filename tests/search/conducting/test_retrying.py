"""Failed trials are tried again when a driver is told to: as new trials, beside the ones that failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.conducting.settings import ConfirmSettings, ControlSearch
from lossweep.search.sampling import SamplerSpec
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from lossweep.search.study.record import StudyRecord, outcome_of, schedule_of
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.proposing.control_space import ControlSpace, Range
from tests.search.sweeps import EPOCHS, conductor, evaluation, schedule

COMPLETED = Outcome(OutcomeKind.COMPLETED)
BROKEN = Outcome(OutcomeKind.FAILED, "ImportError: my_losses", traceback="Traceback...")
OWN = {"recipe": schedule("cross_entropy", "jaccard")}


class Sweep:
    """Drivers of one study, one after another."""

    def __init__(self, search: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.study = optuna.create_study(direction="maximize")
        self.journal = MemoryJournal()
        self.seen_by_sampler: list[dict[str, Any]] = []
        self._search, self._options = search or {}, options

    def driver(self, retry_failed: bool = False) -> Conductor:
        search = {**self._search, "retry_failed": retry_failed}
        boss = conductor(study=self.study, journal=self.journal, search=search, **self._options)
        boss.adopt()
        return boss

    def run(self, *failing: int, retry_failed: bool = False, most: int = 99) -> list[int]:
        """Let a driver train what there is, some trials to fail after an epoch; return what it started."""
        boss, started = self.driver(retry_failed), []
        while len(started) < most and (plan := boss.ask()) is not None:
            started.append(plan.number)
            fails = plan.number in failing
            for epoch in range(1, 2 if fails else EPOCHS + 1):
                boss.observe(plan.number, evaluation(epoch, 0.1 + 0.01 * plan.number))
            boss.close(plan.number, BROKEN if fails else COMPLETED)
        boss.shut_down()
        self.seen_by_sampler = [t.params for t in boss._search._proposer._mirror._study.get_trials()]
        return started

    @property
    def outcomes(self) -> str:
        """How all trials ended, a letter each."""
        return "".join(outcome_of(trial).kind.value[0] for trial in self.study.get_trials())


def test_failed_trials_are_tried_again_and_stay_recorded_as_they_ended() -> None:
    sweep = Sweep(trials=5, controls=OWN)
    assert sweep.run(0, 2) == [0, 1, 2, 3, 4]
    before = [sweep.driver().history(number) for number in range(5)]
    assert sweep.run() == []  # unasked, nothing is
    assert sweep.run(retry_failed=True) == [5, 6]
    boss = sweep.driver()
    assert [boss.history(number) for number in range(5)] == before
    for number, failed in ((5, before[0]), (6, before[2])):
        again = boss.history(number)
        assert (again.retries, again.outcome) == (failed.number, OutcomeKind.COMPLETED)
        same = ("schedule", "seed", "control", "parameters")
        assert [getattr(again, name) for name in same] == [getattr(failed, name) for name in same]
    assert sweep.outcomes == "fcfcccc"
    assert boss.finished


def test_they_come_first_and_the_budget_counts_them_once() -> None:
    sweep = Sweep(trials=6, sampler=SamplerSpec(sampler="random", ahead=True))
    sweep.run(0, 1, most=3)
    assert sweep.run(retry_failed=True) == [3, 4, 5, 6, 7]
    boss = sweep.driver()
    assert boss.finished
    assert [boss.history(number).retries for number in range(3, 8)] == [0, 1, None, None, None]
    assert sweep.outcomes == "ffcccccc"
    assert sweep.seen_by_sampler == [trial.params for trial in sweep.study.get_trials()]


def test_an_interrupted_retry_goes_on_unasked_and_is_no_other_retry() -> None:
    sweep = Sweep(trials=2)
    sweep.run(0)
    first = sweep.driver(retry_failed=True)
    plan = first.ask()
    assert plan is not None
    first.observe(plan.number, evaluation(1))  # killed here
    again = sweep.driver(retry_failed=True)
    assert again.ask() == plan
    assert again.ask() is None
    again.close(plan.number, COMPLETED)
    assert again.finished
    assert sweep.outcomes == "fcc"


def test_what_fails_again_is_tried_again_once_a_driver() -> None:
    sweep = Sweep(trials=2)
    sweep.run(0)
    assert sweep.run(2, retry_failed=True) == [2]
    assert sweep.run(retry_failed=True) == [3]
    assert [sweep.driver().history(number).retries for number in (2, 3)] == [0, 2]
    assert sweep.run(retry_failed=True) == []


def test_a_failed_write_of_a_retry_loses_it_not(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Sweep(trials=2)
    sweep.run(0)
    boss = sweep.driver(retry_failed=True)
    with monkeypatch.context() as away:
        away.setattr(boss._record, "create", lambda proposal: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            boss.ask()
    plan = boss.ask()
    assert plan is not None
    assert (plan.number, boss.history(2).retries) == (2, 0)


@pytest.mark.parametrize(
    "sampler", [SamplerSpec(startup=1, ahead=False), SamplerSpec(sampler="random", ahead=True)], ids=str
)
def test_samplers_learn_from_the_retry_and_the_next_driver_proposes_the_same(sampler: SamplerSpec) -> None:
    """What is proposed after a retry must not depend on whether a driver was stopped in between."""
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
    rates = Range(low=1e-4, high=1e-1)
    search = ControlSearch(ControlSpace(rates, EPOCHS, prior, ("constant",)), 0.5, 2, SamplerSpec(startup=1))
    straight, stopped = (Sweep({"control_search": search}, trials=12, sampler=sampler) for _ in range(2))
    straight.run(0, 3, most=6)
    straight.run(retry_failed=True)
    stopped.run(0, 3, most=6)
    stopped.run(retry_failed=True, most=1)
    stopped.run(retry_failed=True, most=3)
    stopped.run()
    ended = [[t.params for t in each.study.get_trials()] for each in (straight, stopped)]
    assert ended[0] == ended[1]
    assert len(ended[0]) == 14
    plain = [t for t in straight.study.get_trials() if t.user_attrs.get("control") == "cross_entropy"]
    tried = [schedule_of(trial) for trial in plain if trial.state is TrialState.COMPLETE]
    starts = list(search.space.starts())[: len(tried)]
    assert set(tried) == set(starts)  # none is passed over, none taken twice


def test_failed_confirmations_are_tried_again_with_the_seed_that_is_paired() -> None:
    confirm = ConfirmSettings(top=1, seeds=2, margin=0.0)
    sweep = Sweep({"confirm": confirm}, trials=4, controls={"plain": schedule("cross_entropy"), **OWN})
    everything = sweep.run(5)
    assert sweep.outcomes[5] == "f"
    assert sweep.run() == []
    again = sweep.run(retry_failed=True)
    assert again == [len(everything)]
    boss = sweep.driver()
    failed, retry = boss.history(5), boss.history(again[0])
    assert (retry.retries, retry.confirms, retry.seed) == (5, failed.confirms, failed.seed)
    assert retry.schedule == failed.schedule
    assert retry.outcome is OutcomeKind.COMPLETED
    assert len(StudyRecord(sweep.study).confirmations()) == 1


def test_a_former_winner_that_failed_is_tried_again_as_one_and_once() -> None:
    sweep = Sweep({"warm_start": (schedule("jaccard"),)}, trials=3)
    sweep.run(0)
    assert sweep.run(retry_failed=True) == [3]
    boss = sweep.driver()
    assert [boss.history(number).warm_start for number in range(4)] == [0, None, None, 0]
    assert boss.history(3).schedule == boss.history(0).schedule
