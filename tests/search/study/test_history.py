"""What is read off a sweep's history."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from confirmed_sweeps import FIRST, LEADER, PLAIN, TOP_HEAVY, sweep, trained

from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.ranking import Tried, leaders
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.study.trial_history import TrialHistory


def of(*trials: TrialHistory, **changes: object) -> SweepHistory:
    """A sweep of these trials, not confirmed."""
    return replace(sweep(), trials=trials, **changes)


def ended(trial: TrialHistory, kind: OutcomeKind, **changes: object) -> TrialHistory:
    return replace(trial, outcome=kind, score=None, **changes)


def test_the_trials_of_search_and_confirmation_stand_by_number() -> None:
    confirmed = sweep(TOP_HEAVY)
    assert [trial.number for trial in confirmed.recorded] == list(range(19))
    again = of().holding(reversed(confirmed.recorded), confirmed.confirmation)
    assert again.recorded == confirmed.recorded
    assert (again.trials, again.confirmation) == (confirmed.trials, confirmed.confirmation)
    assert of().holding(confirmed.recorded, None).recorded == confirmed.trials, (
        "no confirmation, none of its trials"
    )


def test_of_a_trial_tried_again_the_last_try_alone_counts() -> None:
    first = ended(trained(0, LEADER, 0.0), OutcomeKind.FAILED)
    second = ended(trained(1, LEADER, 0.0), OutcomeKind.FAILED, retries=0)
    running = ended(trained(2, FIRST, 0.0), OutcomeKind.RUNNING)
    history = of(first, second, running, trained(3, PLAIN, 0.5))
    assert [trial.number for trial in history.standing] == [1, 2, 3]
    assert history.ended == 2
    assert [trial.number for trial in history.failed_for_good] == [1]
    assert history.counts() == {kind.value: 0 for kind in OutcomeKind} | {
        "failed": 2,
        "running": 1,
        "completed": 1,
    }


def test_a_failed_training_of_a_confirmation_counts_while_the_plan_asks_for_it() -> None:
    history = sweep(TOP_HEAVY)
    assert history.confirmation is not None
    trials = list(history.confirmation.trials)
    failed = ended(trials[-1], OutcomeKind.FAILED)
    assert failed.confirms == 3
    confirmation = replace(history.confirmation, trials=(*trials[:-1], failed))
    assert replace(history, confirmation=confirmation).failed_for_good == (failed,)
    fewer = replace(confirmation, plan=replace(confirmation.plan, seeds=3))
    assert replace(history, confirmation=fewer).failed_for_good == ()
    searched = ended(history.trials[1], OutcomeKind.FAILED)
    assert replace(history, trials=(searched,)).failed_for_good == (searched,)


@pytest.mark.parametrize("state", [SweepState.RUNNING, SweepState.FINISHED])
def test_without_a_driver_nothing_runs(state: SweepState) -> None:
    running = ended(trained(0, LEADER, 0.0), OutcomeKind.RUNNING, reason="at epoch 3")
    history = of(running, trained(1, PLAIN, 0.5), state=state, note="before")
    left = history.without_driver("its driver is gone")
    kinds = [(trial.outcome, trial.reason) for trial in left.trials]
    assert kinds == [(OutcomeKind.INTERRUPTED, "its driver is gone"), (OutcomeKind.COMPLETED, "")]
    was_running = state is SweepState.RUNNING
    assert left.state is (SweepState.INTERRUPTED if was_running else state)
    assert left.note == ("its driver is gone" if was_running else "before")


def test_the_winner_has_completed_and_the_control_is_the_best_plain_one() -> None:
    early = replace(trained(0, LEADER, 0.9), outcome=OutcomeKind.PRUNED)
    plain, named = trained(1, PLAIN, 0.5, control="cross_entropy"), trained(2, FIRST, 0.6, control="recipe")
    history = of(early, plain, named)
    assert history.winner() == named
    assert history.control() == plain
    assert of(early, named).control() == named, "without a plain one the best that is named"
    assert of(early).control() is None
    assert of(early).winner() is None
    ours = trained(3, FIRST, 0.7, control="ours")
    assert of(plain, ours, own_controls=("ours",)).control() == ours
    assert of(plain, ours, own_controls=("ours",)).tried() == Tried(schedules=0, plain=1, own=1)


def test_against_the_control_stands_the_winner_or_the_best_other() -> None:
    control, other = trained(0, PLAIN, 0.8, control="cross_entropy"), trained(1, LEADER, 0.6)
    second = trained(2, PLAIN.with_budget(4).model_copy(update={"cycles": 1}), 0.7)
    assert of(control, other).contender() == other
    assert of(control, replace(other, score=0.9)).contender() == replace(other, score=0.9)
    assert of(control, second, other).contender() == other, "of another loss, though plain ones are better"
    assert of(control, second).contender() == second, "else whatever there is"
    assert of(control).contender() is None
    worse = replace(other, score=0.5, outcome=OutcomeKind.PRUNED)
    assert of(control, worse, second).contender() == second


def test_leaders_are_of_another_kind_than_the_control_each_schedule_once() -> None:
    plain, ours = trained(0, PLAIN, 0.9), trained(1, FIRST, 0.8, control="ours")
    best, again, second = trained(2, LEADER, 0.7), trained(3, LEADER, 0.6), trained(4, FIRST, 0.5)
    all_of_them = (plain, ours, again, best, second, replace(best, number=5, outcome=OutcomeKind.PRUNED))
    assert leaders(all_of_them, ("maximize",), 9, ("ours",)) == (best, second)
    assert leaders(all_of_them, ("maximize",), 1, ("ours",)) == (best,)
    assert leaders((plain, ours), ("maximize",), 9, ("ours",)) == ()
    infeasible = replace(best, feasible=False)
    assert leaders((infeasible, second), ("maximize",), 9) == (second,), "while any meets the constraints"
    assert leaders((infeasible,), ("maximize",), 9) == (infeasible,)


def test_who_trained_the_epochs_of_a_trial_is_told_and_counted() -> None:
    first, second = trained(0, LEADER, 0.0), trained(1, FIRST, 0.0)
    assert (first.epochs, first.trained_epochs, first.shares) == (4, 4, "")
    last = first.evaluations[-1]
    third = replace(
        second,
        number=2,
        evaluations=(
            replace(last, epoch=4, epochs=24, step=1, trained_by=0),
            replace(last, epoch=8, epochs=24, step=2, trained_by=1),
            replace(last, epoch=12, epochs=24, step=3, trained_by=1),
            replace(last, epoch=24, epochs=24, step=4),
        ),
    )
    assert third.shared_epochs == {0: 4, 1: 8}
    assert third.trained_epochs == 12
    assert third.shares == "shares 12 of 24 epochs with #0 and #1"
    epochs = of(first, second, third).epochs
    assert str(epochs) == "trained 20 of 32 requested epochs; 12 shared"


def test_a_notebook_shows_how_a_trial_ended_its_schedule_and_its_evaluations() -> None:
    trial = replace(trained(1, LEADER, 0.75), control="cross_entropy", scored_step=40)
    shown = trial._repr_html_()
    assert shown.startswith("<p>trial 1, control cross_entropy: completed, score 0.750</p>")
    assert trial.schedule._repr_html_() in shown
    evaluations = shown.rpartition("<table>")[2]
    head = re.findall("<th>(.*?)</th>", evaluations)
    assert head == ["epoch", "loss", "learning rate", "ap", "tuned_precision", "tuned_recall", "tuned_f1"]
    rows = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", evaluations)[1:]]
    assert [row[0] for row in rows] == ["2", "4 (scored)"]
    assert rows[1][1:] == ["jaccard", "0.001", "0.750", "0.500", "0.500", "0.750"]


def test_a_notebook_shows_a_trial_without_an_evaluation_and_no_markup_of_a_reason() -> None:
    failed = ended(trained(1, LEADER, 0.0), OutcomeKind.FAILED, reason="ValueError: <b>&", evaluations=())
    shown = failed._repr_html_()
    assert shown.startswith(f"<p>trial 1: failed ({html.escape('ValueError: <b>&')})</p>")
    assert shown.count("<table>") == 1, "the schedule's alone"
