"""Who is compared with whom, what is decided once, and what no pruner may end."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
import pytest
from optuna.pruners import BasePruner

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.conducting.settings import ControlSearch
from lossweep.search.pruning import PruningSpec
from lossweep.search.pruning.curves import Curve
from lossweep.search.pruning.imported import OptunaRule
from lossweep.search.pruning.rules import Judgement
from lossweep.search.sampling import SamplerSpec
from lossweep.search.study.decisions import Decision
from lossweep.search.study.events import TrialEvaluated
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.proposing.control_space import ControlSpace, Range
from lossweep.trainers.evaluation import Evaluation, GuardVerdict
from tests.search.sweeps import DIVERGED, EPOCHS, Ear, conductor, evaluation, schedule

RUNG = PruningSpec(rungs=(0.25,), min_peers=1, audit=0.0, pause=False)


def at_the_rung(level: float, verdict: GuardVerdict | None = None) -> Evaluation:
    """The second evaluation, at which a trial can be compared whatever its schedule."""
    return evaluation(2, level, cycle_ended=True, verdict=verdict)


class Always(BasePruner):
    """An Optuna pruner that would end everything."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return True


class AlwaysRule:
    """A rule that would end everything, whenever it is asked."""

    def judge(self, trial: Curve, peers: Sequence[Curve]) -> Judgement:
        return Judgement(True, "always", {"own": trial.bests[-1]})


ENDS = {
    "failed": Outcome(OutcomeKind.FAILED, "x"),
    "diverged": Outcome(OutcomeKind.DIVERGED, "NaN"),
    "pruned": Outcome(OutcomeKind.PRUNED, "worse"),
    "interrupted": Outcome(OutcomeKind.INTERRUPTED, "Ctrl-C"),
}


@pytest.mark.parametrize("next_driver", [False, True])
@pytest.mark.parametrize(
    ("end", "is_peer"), [("failed", False), ("diverged", True), ("pruned", True), ("interrupted", True)]
)
def test_only_a_failed_trial_is_no_peer(end: str, is_peer: bool, next_driver: bool) -> None:
    study, journal = optuna.create_study(direction="maximize"), MemoryJournal()
    boss = conductor(9, study=study, journal=journal, pruning=RUNG)
    boss.ask()
    verdict = DIVERGED if end == "diverged" else None
    boss.observe(0, evaluation(1, 0.9))
    boss.observe(0, at_the_rung(0.9, verdict))
    boss.close(0, ENDS[end])
    if next_driver:
        boss = conductor(9, study=study, journal=journal, pruning=RUNG)
    second = boss.ask()
    if end == "interrupted":  # that one goes on first
        second = boss.ask()
    assert second is not None
    boss.observe(second.number, evaluation(1, 0.1))
    seen = boss.observe(second.number, at_the_rung(0.1))
    assert seen.decision.action is (Decision.PRUNE if is_peer else Decision.CONTINUE)


def test_searched_controls_are_compared_with_one_another_alone() -> None:
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
    space = ControlSpace(Range(low=1e-4, high=1e-1, log=True), EPOCHS, prior)
    search = ControlSearch(space, 0.25, 2, SamplerSpec())
    own = {"recipe": schedule("cross_entropy", "jaccard")}
    boss = conductor(9, pruning=RUNG, controls=own, search={"control_search": search})
    plans = [boss.ask() for _ in range(5)]
    assert [boss.history(n).control for n in range(5)] == [
        "recipe", "cross_entropy", "cross_entropy", None, None
    ]  # fmt: skip
    assert all(plans)
    levels = {0: 0.01, 1: 0.5, 2: 0.4, 3: 0.3, 4: 0.2}
    for number, level in levels.items():
        boss.observe(number, evaluation(1, level))
    decided = {n: boss.observe(n, at_the_rung(level)).decision for n, level in levels.items()}
    assert decided[0].reason == "a control is never pruned"
    # The second of each kind is worse than the first; the best proposal is not worse than a control.
    ended = [number for number, decision in decided.items() if decision.action is Decision.PRUNE]
    assert ended == [2, 4]
    assert decided[4].figures["peers"] == 2.0  # the own baseline is never ended, but may be compared with
    assert decided[2].figures["peers"] == 1.0


@pytest.mark.parametrize("spared", [False, True])
def test_an_evaluation_told_twice_is_decided_once(spared: bool) -> None:
    ear, journal = Ear(), MemoryJournal()
    pruning = RUNG.model_copy(update={"audit": 1.0 if spared else 0.0})
    study = optuna.create_study(direction="maximize")
    boss = conductor(9, study=study, journal=journal, pruning=pruning, listeners=[ear])
    for level in (0.9, 0.1):
        plan = boss.ask()
        assert plan is not None
        boss.observe(plan.number, evaluation(1, level))
        seen = boss.observe(plan.number, at_the_rung(level))
    wanted = Decision.SPARE if spared else Decision.PRUNE
    assert seen.decision.action is wanted
    told = len(ear.events)
    # By the same driver, and by the next one, whose pruner is told to end nothing.
    again = conductor(9, study=study, journal=journal, pruning=PruningSpec(pruner="none"), listeners=[ear])
    again.adopt()
    again.ask(), again.ask()
    for driver in (boss, again):
        before = len(ear.events)
        assert driver.observe(1, at_the_rung(0.1)) == seen
        assert len(ear.events) == before
    assert [d.action for d in journal.decisions(1)] == [Decision.CONTINUE, wanted]
    assert sum(isinstance(event, TrialEvaluated) for event in ear.events[told:]) == 0


def test_an_evaluation_whose_decision_was_lost_is_decided_now() -> None:
    ear, journal = Ear(), MemoryJournal()
    boss = conductor(2, journal=journal, listeners=[ear])
    boss.ask()
    journal.record_evaluation(0, evaluation(1))  # the driver died between the two
    assert boss.observe(0, evaluation(1)).decision.action is Decision.CONTINUE
    assert len(journal.decisions(0)) == 1
    assert sum(isinstance(event, TrialEvaluated) for event in ear.events) == 1


def trained(boss: Conductor) -> list[Decision]:
    """Let a trial report every epoch, whatever is decided."""
    plan = boss.ask()
    assert plan is not None
    return [boss.observe(plan.number, evaluation(epoch)).decision.action for epoch in range(1, EPOCHS + 1)]


def test_no_pruner_ends_a_trial_that_has_trained_its_whole_budget() -> None:
    own = PruningSpec(pruner=f"{__name__}:Always", audit=0.0)
    boss = conductor(2, pruning=own)
    assert trained(boss) == [Decision.PRUNE] * (EPOCHS - 1) + [Decision.CONTINUE]
    seen = boss.observe(0, evaluation(EPOCHS))
    assert seen.outcome == Outcome(OutcomeKind.COMPLETED, "trained its whole budget")


@pytest.mark.parametrize("audit", [0.0, 1.0])
def test_nor_does_a_rule_that_is_not_asked_to_know(audit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    boss = conductor(2, pruning=RUNG.model_copy(update={"audit": audit}))
    monkeypatch.setattr(boss._judging._pruner, "_rule", AlwaysRule())
    *before, last = trained(boss)
    assert set(before) == {Decision.SPARE if audit else Decision.PRUNE}
    assert last is Decision.CONTINUE
    assert boss.history(0).decisions[-1].figures == {"own": 0.5}


def test_an_imported_pruner_is_asked_at_comparable_shares_before_the_end() -> None:
    rule = OptunaRule(Always())
    curve = Curve(0, schedule("cross_entropy", "jaccard"), "ap", 1.0)
    found = []
    for epoch in range(1, EPOCHS + 1):
        curve.add(evaluation(epoch, phase=0 if epoch <= 2 else 1))
        found.append(rule.judge(curve, []).prune)
    assert found == [False, False, *[True] * (EPOCHS - 3), False]


def test_spent_hours_are_spent_to_the_second_and_kept_for_the_next_driver() -> None:
    study, now = optuna.create_study(direction="maximize"), [0.0]
    boss = conductor(9, study=study, hours=1.0, clock=lambda: now[0])
    boss.ask()
    now[0] = 20.0
    boss.close(0, ENDS["failed"])
    assert "seconds" not in study.user_attrs  # at most every half minute
    boss.ask()
    now[0] = 3599.0
    boss.close(1, ENDS["failed"])
    assert study.user_attrs["seconds"] == 3599.0  # so that a kill loses little
    assert not boss.out_of_time
    now[0] = 3600.0
    assert boss.out_of_time
    assert boss.ask() is None
