"""Trials that a rung pauses: taken up again when their peers turn out no better, pruned at the end if not."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.conducting.settings import ConfirmSettings
from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.search.study.decisions import Decision
from lossweep.search.study.events import TrialEnded, TrialStarted
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from lossweep.search.study.record import CODE
from tests.search.sweeps import DIVERGED, EPOCHS, Ear, conductor, evaluation, schedule

IN_TURN = SamplerSpec(sampler="random", ahead=False)
PAUSING = PruningSpec(rungs=(0.25, 0.5), min_peers=1, audit=0.0, pause=True)


def trained(boss: Conductor, number: int, level: float, epochs: Iterable[int] = range(1, EPOCHS + 1)) -> str:
    """Let a running trial report until it is stopped; return how it ended then."""
    for epoch in epochs:
        seen = boss.observe(number, evaluation(epoch, level, cycle_ended=True))
        if seen.outcome is not None:
            boss.close(number, seen.outcome)
            return seen.outcome.kind.value
    return "running"


def asked(boss: Conductor) -> int:
    plan = boss.ask()
    assert plan is not None
    return plan.number


def test_a_paused_trial_waits_and_teaches_the_sampler_as_a_pruned_one_does() -> None:
    study = optuna.create_study(direction="maximize")
    boss = conductor(4, study=study, pruning=PAUSING, sampler=IN_TURN)
    assert trained(boss, asked(boss), 0.9) == "completed"
    assert trained(boss, asked(boss), 0.3) == "paused"
    trial, history = study.get_trials()[1], boss.history(1)
    assert (trial.state, trial.values) == (TrialState.WAITING, None)
    assert trial.intermediate_values == {10: 0.3, 20: 0.3}
    assert history.outcome is OutcomeKind.PAUSED
    assert history.reason == "ap: rank 2 of 2 at rung 0.25: 0.3 against a cutoff of 0.9"
    assert not history.outcome.is_final
    assert (boss.paused, boss.running, boss.interrupted) == ((1,), (), ())
    assert not boss.finished
    seen = boss._search._proposer._mirror._study.trials[1]
    assert (seen.state, seen.value, seen.intermediate_values) == (TrialState.PRUNED, 0.3, {10: 0.3, 20: 0.3})
    assert asked(boss) == 2  # as good as one of two is not good enough


def test_it_is_thawed_once_its_peers_turn_out_no_better_and_may_win() -> None:
    study, ear = optuna.create_study(direction="maximize"), Ear()
    boss = conductor(4, study=study, pruning=PAUSING, sampler=IN_TURN, listeners=[ear])
    first = [boss.ask(), boss.ask()]
    assert trained(boss, 0, 0.9) == "completed"
    assert trained(boss, 1, 0.5) == "paused"
    assert [trained(boss, asked(boss), level) for level in (0.2, 0.1)] == ["paused", "paused"]
    assert boss.ask() == first[1]  # same number, seed and schedule, before anything is proposed
    assert boss.paused == (2, 3)
    thaw = boss.history(1).decisions[-1]
    assert (thaw.action, thaw.step, thaw.reason) == (Decision.THAW, 20, "ap: rank 2 of 4 at rung 0.25")
    assert thaw.figures["cutoff"] == thaw.figures["own"] == 0.5
    # Its trainer tells all again from the start; nothing is decided or told anew before it trains.
    told = len(ear.events)
    assert trained(boss, 1, 0.5, (1, 2)) == "running"
    assert len(ear.events) == told
    assert trained(boss, 1, 0.95, range(3, EPOCHS + 1)) == "completed"
    # That was the last that could change the others' ranks: what still waits has ended with it.
    assert boss.finished
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED"]
    assert study.best_trial.number == 1
    for number, level, rank in ((2, 0.2, 3), (3, 0.1, 4)):
        trial, history = study.get_trials()[number], boss.history(number)
        assert (trial.value, trial.intermediate_values) == (level, {10: level, 20: level})
        reason = f"ap: rank {rank} of 4 at rung 0.25: {level} against a cutoff of 0.5"
        assert history.reason == f"{reason}; paused to the end of the search"
        assert [d.action for d in history.decisions][-2:] == [Decision.PAUSE, Decision.PRUNE]
    assert boss.ask() is None
    ends = [(e.trial.number, e.trial.outcome.value) for e in ear.events if isinstance(e, TrialEnded)]
    assert ends == [
        (0, "completed"), (1, "paused"), (2, "paused"), (3, "paused"),
        (1, "completed"), (2, "pruned"), (3, "pruned"),
    ]  # fmt: skip
    starts = [e.trial.number for e in ear.events if isinstance(e, TrialStarted)]
    assert starts == [0, 1, 2, 3, 1]
    mirror = boss._search._proposer._mirror._study.trials
    assert [t.state for t in mirror] == [t.state for t in study.get_trials()]
    assert [t.values for t in mirror] == [t.values for t in study.get_trials()]


def test_those_that_came_furthest_go_on_first_and_of_those_the_best() -> None:
    boss = conductor(7, pruning=PAUSING)
    assert trained(boss, asked(boss), 0.9) == "completed"
    assert trained(boss, asked(boss), 0.3) == "paused"  # at the first rung
    late = asked(boss)
    assert trained(boss, late, 0.95, (1, 2)) == "running"
    assert trained(boss, late, 0.95, (3, 4)) == "running"
    later = asked(boss)
    assert trained(boss, later, 0.92, (1, 2, 3, 4)) == "paused"  # at the second
    assert boss.history(later).decisions[-1].figures["rung"] == 0.5
    worse = asked(boss)
    assert trained(boss, worse, 0.91, (1, 2)) == "paused"
    assert trained(boss, asked(boss), 0.05) == "paused"
    assert asked(boss) == worse  # of the first rung: half of six are let go on by now
    boss.close(worse, Outcome(OutcomeKind.FAILED, "x"))


def test_a_guard_ends_a_trial_at_once() -> None:
    boss = conductor(4, pruning=PAUSING)
    trained(boss, asked(boss), 0.9)
    number = asked(boss)
    boss.observe(number, evaluation(1, 0.1))
    seen = boss.observe(number, evaluation(2, 0.1, cycle_ended=True, verdict=DIVERGED))
    assert seen.outcome is not None
    assert seen.outcome.kind is OutcomeKind.DIVERGED


def test_when_the_hours_are_over_what_waits_is_pruned_and_says_so() -> None:
    now, study = [0.0], optuna.create_study(direction="maximize")
    boss = conductor(9, study=study, pruning=PAUSING, hours=1.0, clock=lambda: now[0])
    trained(boss, asked(boss), 0.9)
    trained(boss, asked(boss), 0.3)
    last = asked(boss)
    now[0] = 3601.0
    assert boss.ask() is None
    assert boss.paused == (1,)  # one trains yet
    boss.close(last, Outcome(OutcomeKind.INTERRUPTED, "x"))
    assert boss.ask() is None
    assert (boss.paused, boss.finished) == ((1,), False)  # with more hours, both may go on
    again = conductor(9, study=study, journal=boss._journal, pruning=PAUSING, hours=2.0, clock=lambda: now[0])
    assert asked(again) == last
    assert trained(again, last, 0.1) == "paused"
    now[0] += 7200.0
    assert again.ask() is None
    assert again.finished
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert again.history(1).reason.endswith("; paused until the sweep's hours were over")


def test_a_larger_budget_goes_on_with_what_waits() -> None:
    study, journal = optuna.create_study(direction="maximize"), MemoryJournal()
    boss = conductor(3, study=study, journal=journal, pruning=PAUSING)
    trained(boss, asked(boss), 0.9)
    trained(boss, asked(boss), 0.3)  # and then the user stops the sweep
    again = conductor(4, study=study, journal=journal, pruning=PAUSING)
    again.adopt()
    assert again.paused == (1,)
    assert [trained(again, asked(again), level) for level in (0.2, 0.1)] == ["paused", "paused"]
    assert asked(again) == 1


def test_what_a_dead_driver_had_thawed_goes_on_and_may_be_paused_again() -> None:
    study, journal = optuna.create_study(direction="maximize"), MemoryJournal()
    boss = conductor(4, study=study, journal=journal, pruning=PAUSING)
    for level in (0.9, 0.5, 0.2, 0.1):
        trained(boss, asked(boss), level)
    boss._pausing.thaw(1)  # and then its driver dies
    again = conductor(4, study=study, journal=journal, pruning=PAUSING)
    again.adopt()
    assert again.paused == (1, 2, 3)
    assert asked(again) == 1
    assert trained(again, 1, 0.5) == "paused"  # at the next rung
    assert [d.action.value for d in again.history(1).decisions] == [
        "continue", "pause", "thaw", "continue", "pause", "prune"
    ]  # fmt: skip
    assert again.finished


def test_confirming_at_once_leaves_what_waits_as_it_is() -> None:
    study, journal = optuna.create_study(direction="maximize"), MemoryJournal()
    own = {"plain": schedule("cross_entropy")}
    boss = conductor(5, study=study, journal=journal, pruning=PAUSING, controls=own)
    for level in (0.5, 0.9):
        trained(boss, asked(boss), level)
    assert trained(boss, asked(boss), 0.3) == "paused"
    confirm = {"confirm": ConfirmSettings(top=1, seeds=2, margin=0.0, at_once=True)}
    again = conductor(5, study=study, journal=journal, pruning=PAUSING, controls=own, search=confirm)
    again.adopt()
    while (plan := again.ask()) is not None:
        assert again.history(plan.number).confirms is not None
        assert trained(again, plan.number, 0.1) == "completed"
    assert again.done_at_once
    assert again.paused == (2,)


def test_one_whose_own_code_has_changed_cannot_go_on() -> None:
    study, journal = optuna.create_study(direction="maximize"), MemoryJournal()
    boss = conductor(
        4, study=study, journal=journal, pruning=PAUSING, code_of=lambda plan: {"mine:Loss": "a"}
    )
    trained(boss, asked(boss), 0.9)
    trained(boss, asked(boss), 0.3)
    assert study.get_trials()[1].user_attrs[CODE] == {"mine:Loss": "a"}
    again = conductor(
        4, study=study, journal=journal, pruning=PAUSING, code_of=lambda plan: {"mine:Loss": "b"}
    )
    again.adopt()
    assert again.begin_anew() == {}
    assert again.history(1).outcome is OutcomeKind.PRUNED
    assert again.history(1).reason.endswith("; paused until mine:Loss changed")


class Killed(BaseException):
    """The driver's process is gone."""


@dataclass
class Writes:
    """Counts what is written, and kills the driver before the writes that it is told."""

    fatal: set[int] = field(default_factory=set)
    made: int = 0

    def count(self) -> None:
        self.made += 1
        if self.made in self.fatal:
            raise Killed


class Counting:
    """A storage or a journal whose writes are counted."""

    def __init__(self, inside: Any, writes: Writes) -> None:
        self._inside, self._writes = inside, writes

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inside, name)
        if not name.startswith(("set_", "create_", "record")):
            return found

        def counted(*args: Any, **kwargs: Any) -> Any:
            self._writes.count()
            return found(*args, **kwargs)

        return counted


TRIALS = 12


def level(seed: int, number: int, epoch: int) -> float:
    """A curve that rises, crosses others and now and then fails a guard or raises."""
    dice = random.Random(f"{seed} {number}")
    start, gain = dice.random(), dice.random()
    return round(0.5 * start + 0.5 * gain * epoch / EPOCHS, 1)  # ties included


@dataclass
class Sweep:
    """A study with its journal, and drivers that are killed at chosen writes."""

    seed: int
    writes: Writes
    slots: int = 1
    study: optuna.Study = field(default_factory=lambda: optuna.create_study(direction="maximize"))
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    checkpoints: dict[int, int] = field(default_factory=dict)
    trained: list[tuple[int, int]] = field(default_factory=list)
    kills: int = 0

    def run(self) -> Conductor:
        while True:
            try:
                return self._drive()
            except Killed:
                self.kills += 1

    def _drive(self) -> Conductor:
        journal: Any = Counting(self.journal, self.writes)
        boss = conductor(TRIALS, study=self.study, journal=journal, pruning=PAUSING, seed=self.seed)
        boss._record._storage = Counting(boss._record._storage, self.writes)  # type: ignore[assignment]
        boss.adopt()
        dice = random.Random(self.seed)
        running: dict[int, int] = {}
        while True:
            while len(running) < self.slots and (plan := boss.ask()) is not None:
                running[plan.number] = 0
            if not running:
                return boss
            number = dice.choice(sorted(running))
            running[number] += 1
            if running[number] > self.checkpoints.get(number, 0):
                self.checkpoints[number] = running[number]
                self.trained.append((number, running[number]))
            step = evaluation(running[number], level(self.seed, number, running[number]), cycle_ended=True)
            outcome = boss.observe(number, step).outcome
            if number % 5 == 3 and running[number] == 3:
                outcome = Outcome(OutcomeKind.FAILED, "boom")
            if outcome is not None:
                boss.close(number, outcome)
                del running[number]

    def written(self) -> list[dict[str, Any]]:
        """All that the database holds of each trial, but for the moments."""
        return [
            {
                "state": trial.state.name,
                "values": trial.values,
                "reported": trial.intermediate_values,
                "params": trial.params,
                "attributes": {k: v for k, v in trial.user_attrs.items() if k != "started"},
                "constraints": trial.constraints,
                "evaluations": self.journal.evaluations(trial.number),
                "decisions": self.journal.decisions(trial.number),
            }
            for trial in self.study.get_trials()
        ]


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    fatal=st.lists(st.integers(1, 400), max_size=8, unique=True),
)
def test_the_database_holds_the_same_whenever_drivers_are_killed(seed: int, fatal: list[int]) -> None:
    whole = Sweep(seed, Writes())
    whole.run()
    killed = Sweep(seed, Writes(set(fatal)))
    boss = killed.run()
    assert killed.written() == whole.written()
    assert killed.trained == whole.trained
    assert boss.finished
    assert set(boss._roll.kinds.values()) <= {OutcomeKind.COMPLETED, OutcomeKind.PRUNED, OutcomeKind.FAILED}


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    slots=st.integers(1, 5),
    fatal=st.lists(st.integers(1, 400), max_size=4, unique=True),
)
def test_at_the_end_those_are_pruned_that_their_rule_holds_back(
    seed: int, slots: int, fatal: list[int]
) -> None:
    sweep = Sweep(seed, Writes(set(fatal)), slots)
    boss = sweep.run()
    assert boss.finished
    assert len(sweep.trained) == len(set(sweep.trained))  # nothing twice
    assert len(sweep.study.get_trials()) == TRIALS
    for number in range(TRIALS):
        history = boss.history(number)
        actions = [decision.action for decision in history.decisions]
        assert history.outcome.is_final
        if history.outcome is OutcomeKind.PRUNED:
            # Held against everything that is known in the end.
            again = boss._judging.reconsidered(number)
            assert again.action is Decision.PRUNE
            assert history.reason == f"{again.reason}; paused to the end of the search"
            assert actions[-2:] == [Decision.PAUSE, Decision.PRUNE]
            assert history.decisions[-1].figures == again.figures
        else:
            assert Decision.PRUNE not in actions
            assert actions.count(Decision.THAW) == actions.count(Decision.PAUSE)


@pytest.mark.parametrize("pause", [True, False])
def test_nothing_waits_where_rungs_end(pause: bool) -> None:
    boss = conductor(3, pruning=PAUSING.model_copy(update={"pause": pause}))
    trained(boss, asked(boss), 0.9)
    assert trained(boss, asked(boss), 0.3) == ("paused" if pause else "pruned")
