from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.events import TrialEnded, TrialEvaluated, TrialStarted
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import Outcome, OutcomeKind, divergence, outcome_by
from lossweep.search.study.record import DIVERGED
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.scoring.objectives import ObjectiveSpec
from tests.search.sweeps import DIVERGED as VERDICT
from tests.search.sweeps import EPOCHS, Ear, conductor, evaluation, schedule

COMPLETED = Outcome(OutcomeKind.COMPLETED)
INTERRUPTED = Outcome(OutcomeKind.INTERRUPTED, "somebody pressed Ctrl-C")


def finish(boss: Conductor, level: float = 0.5) -> int:
    """Ask for a trial and let it train to its end."""
    plan = boss.ask()
    assert plan is not None
    for epoch in range(1, EPOCHS + 1):
        boss.observe(plan.number, evaluation(epoch, level))
    boss.close(plan.number, COMPLETED)
    return plan.number


def test_controls_come_first_then_as_many_proposals_as_the_budget_holds() -> None:
    controls = {"cross_entropy": schedule("cross_entropy"), "recipe": schedule("cross_entropy", "jaccard")}
    boss = conductor(4, controls=controls)
    plans = [boss.ask() for _ in range(6)]
    assert [plan.number if plan else None for plan in plans] == [0, 1, 2, 3, None, None]
    assert [boss.history(n).control for n in range(4)] == ["cross_entropy", "recipe", None, None]
    assert [plan.schedule for plan in plans[:2]] == list(controls.values())  # type: ignore[union-attr]
    assert (
        boss.history(0).parameters["loss"] == "cross_entropy"
    )  # in the space, so the sampler learns from it
    assert boss.history(1).parameters == {}
    assert len({plan.seed for plan in plans if plan}) == 4


def test_observing_and_closing_again_changes_nothing() -> None:
    ear = Ear()
    boss = conductor(2, listeners=[ear])
    plan = boss.ask()
    assert plan is not None
    first = boss.observe(0, evaluation(1, 0.3))
    told = len(ear.events)
    assert boss.observe(0, evaluation(1, 0.9)) == first
    assert len(ear.events) == told
    assert [e.metrics["ap"] for e in boss.history(0).evaluations] == [0.3]
    boss.observe(0, evaluation(EPOCHS, 0.4))
    boss.close(0, COMPLETED)
    ended = boss.history(0)
    boss.close(0, Outcome(OutcomeKind.FAILED, "too late"))
    late = boss.observe(0, evaluation(7, 0.99))
    assert (late.decision.action, boss.history(0)) == ("prune", ended)
    assert late.outcome is not None
    kinds = [type(event) for event in ear.events]
    assert kinds == [TrialStarted, TrialEvaluated, TrialEvaluated, TrialEnded]


@pytest.mark.parametrize(
    ("outcome", "state", "counted"),
    [
        (COMPLETED, TrialState.COMPLETE, "completed"),
        (Outcome(OutcomeKind.PRUNED, "worse"), TrialState.PRUNED, "pruned"),
        (Outcome(OutcomeKind.DIVERGED, "NaN", {"loss": math.nan}), TrialState.PRUNED, "diverged"),
        (Outcome(OutcomeKind.FAILED, "boom", traceback="Traceback..."), TrialState.FAIL, "failed"),
        (INTERRUPTED, TrialState.WAITING, "interrupted"),
        (Outcome(OutcomeKind.PAUSED, "worse so far"), TrialState.WAITING, "paused"),
    ],
)
def test_each_outcome_in_the_study(outcome: Outcome, state: TrialState, counted: str) -> None:
    study = optuna.create_study(direction="maximize")
    boss = conductor(1, study=study)
    boss.ask()
    boss.observe(0, evaluation(1, 0.3))
    boss.observe(0, evaluation(2, 0.6))
    boss.close(0, outcome)
    trial = study.get_trials()[0]
    assert trial.state is state
    assert trial.intermediate_values == {10: 0.3, 20: 0.6}
    # Of a pruned one the last that it reported, as `Study.tell` has it; one that failed has no value.
    assert trial.values == ([0.6] if state in (TrialState.COMPLETE, TrialState.PRUNED) else None)
    history = boss.history(0)
    assert (history.outcome.value, history.reason) == (counted, outcome.reason)
    assert history.traceback == outcome.traceback
    assert (DIVERGED in trial.constraints) == (counted == "diverged")
    if counted == "diverged":
        assert trial.constraints[DIVERGED] == pytest.approx(2.0 - 2 / EPOCHS)
        assert trial.user_attrs["end"]["figures"] == {"loss": "nan"}
        assert not history.feasible
    if state is TrialState.PRUNED:
        assert trial.value == 0.6  # the newest, as Optuna's own tell has it
    if state is TrialState.COMPLETE:
        assert trial.value == history.score == 0.6
        assert history.values == (0.6,)
        assert history.scored is history.evaluations[1]
    assert not boss.running


def test_a_completed_trial_without_the_metric_has_failed() -> None:
    boss = conductor(1, objective=ObjectiveSpec(metric="iou"))
    finish(boss)
    history = boss.history(0)
    assert history.outcome is OutcomeKind.FAILED
    assert "iou" in history.reason


def test_what_is_not_finite_is_never_stored() -> None:
    journal = MemoryJournal()
    boss = conductor(1, journal=journal)
    boss.ask()
    decision = boss.observe(0, evaluation(1, math.nan, recall=0.5, verdict=VERDICT)).decision
    assert decision.action == "diverge"
    stored = journal.evaluations(0)[0]
    assert dict(stored.metrics) == {"recall": 0.5}
    assert stored.verdict is not None
    assert stored.verdict.figures == decision.figures == {"norm": 3.0}
    assert boss.history(0).score is None


def test_pruning_writes_its_reason_and_figures() -> None:
    boss = conductor(9, pruning=PruningSpec(min_peers=2, audit=0.0, pause=False))
    for level in (0.9, 0.8, 0.7):
        finish(boss, level)
    plan = boss.ask()
    assert plan is not None
    observed = [boss.observe(plan.number, evaluation(epoch, 0.1)) for epoch in (1, 2, 3, 4)]
    decisions = [one.decision for one in observed]
    assert "prune" in [d.action for d in decisions]
    pruned = next(d for d in decisions if d.action == "prune")
    assert pruned.figures["own"] == 0.1
    assert pruned in boss.history(plan.number).decisions
    outcome = observed[decisions.index(pruned)].outcome
    assert outcome == Outcome(OutcomeKind.PRUNED, pruned.reason, pruned.figures)


def test_a_guards_verdict_comes_before_the_pruner() -> None:
    boss = conductor(9, pruning=PruningSpec(min_peers=2, audit=0.0, pause=False))
    for level in (0.9, 0.8, 0.7):
        finish(boss, level)
    plan = boss.ask()
    assert plan is not None
    seen = boss.observe(plan.number, evaluation(4, 0.1, verdict=VERDICT))
    assert seen.decision.action is Decision.DIVERGE
    assert seen.outcome is not None
    assert seen.outcome.kind is OutcomeKind.DIVERGED
    assert seen.outcome.reason == seen.decision.reason == "non_finite: the loss is not finite"
    evidence = {"step": 10.0, "phase": 0.0, "loss": math.inf, "norm": 3.0}
    assert seen.outcome.figures == evidence
    assert boss.observe(plan.number, evaluation(4, 0.1, verdict=VERDICT)) == seen


@pytest.mark.parametrize(
    ("action", "finished", "kind"),
    [
        (Decision.CONTINUE, False, None),
        (Decision.CONTINUE, True, OutcomeKind.COMPLETED),
        (Decision.SPARE, False, None),
        (Decision.PRUNE, False, OutcomeKind.PRUNED),
        (Decision.PAUSE, False, OutcomeKind.PAUSED),
        (Decision.THAW, False, None),
        (Decision.DIVERGE, False, OutcomeKind.DIVERGED),
        (Decision.DIVERGE, True, OutcomeKind.DIVERGED),
    ],
)
def test_each_decision_and_how_the_trial_ends_by_it(
    action: Decision, finished: bool, kind: OutcomeKind | None
) -> None:
    outcome = outcome_by(DecisionRecord(1, action, "because", {"own": 0.1}), finished)
    assert (outcome.kind if outcome else None) is kind


def test_what_was_decided_is_obeyed_when_an_evaluation_comes_again() -> None:
    journal = MemoryJournal()
    boss = conductor(2, journal=journal)
    boss.ask()
    journal.record_evaluation(0, evaluation(1))
    journal.record_decision(0, DecisionRecord(10, Decision.RETRY, "the worker was lost"))
    journal.record_decision(0, DecisionRecord(10, Decision.PRUNE, "worse", {"own": 0.1}))
    seen = boss.observe(0, evaluation(1))  # its driver died before it could close the trial
    assert seen.decision.action is Decision.PRUNE
    assert seen.outcome == Outcome(OutcomeKind.PRUNED, "worse", {"own": 0.1})


def test_what_follows_from_an_evaluation_and_its_decision() -> None:
    on, stop = DecisionRecord(1, Decision.CONTINUE, ""), DecisionRecord(1, Decision.PRUNE, "worse")
    assert (divergence(evaluation(1)), outcome_by(on, finished=False)) == (None, None)
    cases = [
        (evaluation(EPOCHS), on, OutcomeKind.COMPLETED),
        (evaluation(1), stop, OutcomeKind.PRUNED),
        (evaluation(1, verdict=VERDICT), stop, OutcomeKind.DIVERGED),
    ]
    for observed, decision, kind in cases:
        outcome = divergence(observed) or outcome_by(decision, observed.finished)
        assert outcome is not None
        assert outcome.kind is kind


def sqlite(folder: Path) -> optuna.Study:
    url = f"sqlite:///{folder / 'study.db'}"
    return optuna.create_study(study_name="s", storage=url, direction="maximize", load_if_exists=True)


def test_a_dead_drivers_trials_go_on_first_with_the_same_plan(tmp_path: Path) -> None:
    journal = MemoryJournal()
    boss = conductor(4, study=sqlite(tmp_path), journal=journal)
    finish(boss)
    plans = [boss.ask(), boss.ask()]
    boss.observe(1, evaluation(1, 0.3))
    del boss  # killed: two trials stay RUNNING

    study = sqlite(tmp_path)
    again = conductor(4, study=study, journal=journal)
    assert again.adopt() == (1, 2)
    assert [t.state.name for t in study.get_trials()] == ["COMPLETE", "WAITING", "WAITING"]
    assert again.interrupted == (1, 2)
    assert [again.ask(), again.ask()] == plans
    assert again.adopt() == ()
    new = again.ask()
    assert new is not None
    assert new.number == 3
    assert again.ask() is None
    known = again.observe(1, evaluation(1, 0.9)).decision
    assert known == journal.decisions(1)[0]
    for number in (1, 2, 3):
        again.observe(number, evaluation(EPOCHS, 0.4))
        again.close(number, COMPLETED)
    assert again.finished
    assert [t.state.name for t in study.get_trials()] == ["COMPLETE"] * 4


def test_an_interrupted_trial_goes_on_in_the_same_driver_too() -> None:
    boss = conductor(2)
    plan = boss.ask()
    boss.observe(0, evaluation(1))
    boss.close(0, INTERRUPTED)
    assert not boss.finished
    assert boss.ask() == plan
    boss.close(0, COMPLETED)
    assert boss.history(0).outcome is OutcomeKind.COMPLETED


@pytest.mark.parametrize("ahead", [False, True])
def test_random_proposals_do_not_depend_on_kills(tmp_path: Path, ahead: bool) -> None:
    sampler = SamplerSpec(sampler="random", ahead=ahead)
    whole = conductor(8, sampler=sampler, seed=7)
    wanted = [whole.ask() for _ in range(8)]
    journal = MemoryJournal()
    met = []
    for _ in range(4):
        boss = conductor(8, study=sqlite(tmp_path), journal=journal, sampler=sampler, seed=7)
        boss.adopt()
        while plan := boss.ask():
            boss.close(plan.number, Outcome(OutcomeKind.FAILED, "x"))
            met.append(plan)
            if len(met) % 3 == 0:
                break  # killed here
    assert met == wanted


def test_a_failed_write_loses_no_proposal(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = conductor(3)
    whole = conductor(3)
    create = boss._record.create
    calls = []

    def flaky(proposal):
        calls.append(proposal)
        if len(calls) == 1:
            raise ConnectionError("the database is away")
        return create(proposal)

    monkeypatch.setattr(boss._record, "create", flaky)
    with pytest.raises(ConnectionError):
        boss.ask()
    assert boss.running == ()
    assert [boss.ask() for _ in range(3)] == [whole.ask() for _ in range(3)]


def test_hours_are_counted_over_drivers() -> None:
    study = optuna.create_study(direction="maximize")
    now = [0.0]
    boss = conductor(9, study=study, hours=1.0, clock=lambda: now[0])
    boss.ask()
    now[0] = 1800.0
    boss.close(0, Outcome(OutcomeKind.FAILED, "x"))
    boss.shut_down()
    later = conductor(9, study=study, hours=1.0, clock=lambda: now[0])
    assert later.seconds_spent == 1800.0
    assert later.ask() is not None
    now[0] += 1801.0
    assert later.ask() is None
    assert not later.finished
    later.close(1, Outcome(OutcomeKind.FAILED, "x"))
    assert later.finished


def test_several_objectives_store_all_values_and_prune_on_the_pilot() -> None:
    objective = ObjectiveSpec(metrics=("recall", "precision"), pilot="ap")
    study = optuna.create_study(directions=["maximize", "maximize"])
    pruning = PruningSpec(min_peers=1, audit=0.0, pause=False)
    boss = conductor(3, study=study, objective=objective, sampler="nsga2", pruning=pruning)
    for level in (0.9, 0.1):
        plan = boss.ask()
        assert plan is not None
        for epoch in range(1, EPOCHS + 1):
            step = evaluation(epoch, level, recall=0.5, precision=level)
            outcome = boss.observe(plan.number, step).outcome
            if outcome:
                boss.close(plan.number, outcome)
                break
    first, second = study.get_trials()
    assert first.values == [0.5, 0.9]
    assert (second.state, second.intermediate_values) == (TrialState.PRUNED, {})


def test_a_listener_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def handle(self, event: object) -> None:
            raise RuntimeError("no server")

        def close(self) -> None:
            raise RuntimeError("no server")

    ear = Ear()
    boss = conductor(2, listeners=[Broken(), ear])
    finish(boss)
    finish(boss)
    boss.listeners.close()
    assert len(ear.events) == 2 * (EPOCHS + 2)
    assert caplog.text.count("Broken failed") == 1


def test_cmaes_is_refused_where_parameters_come_and_go() -> None:
    with pytest.raises(UserError, match="CMA-ES needs a space of numbers"):
        conductor(2, sampler="cmaes")
