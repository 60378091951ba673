"""What a user's own Optuna pruner sees."""

from __future__ import annotations

import optuna
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from lossweep.search.pruning.curves import Curve
from lossweep.search.pruning.imported import OptunaRule
from tests.search.sweeps import EPOCHS, evaluation, schedule


class Looking(BasePruner):
    """Keeps what it is shown, and ends every trial."""

    def __init__(self) -> None:
        self.ended: list[tuple[float | None, dict[int, float]]] = []
        self.own: list[dict[int, float]] = []

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        done = study.get_trials(states=(TrialState.COMPLETE,))
        self.ended = [(each.value, each.intermediate_values) for each in done]
        self.own.append(trial.intermediate_values)
        return True


def curve(number: int, *values: float, first: int = 1) -> Curve:
    made = Curve(number, schedule("cross_entropy"), "ap", 1.0)
    for epoch, value in enumerate(values, first):
        made.add(evaluation(epoch, value))
    return made


def test_it_sees_running_bests_by_percent_of_the_budget_and_last_values() -> None:
    looking = Looking()
    whole = curve(0, *[0.1 * epoch for epoch in range(1, EPOCHS)], 0.2)
    once = curve(1, 0.4, first=EPOCHS)
    own = curve(2, 0.3, 0.2)
    judged = OptunaRule(looking).judge(own, [once, whole])
    assert judged.prune
    best = 0.1 * (EPOCHS - 1)
    assert [(value, len(seen)) for value, seen in looking.ended] == [(best, EPOCHS), (0.4, 1)]
    assert looking.ended[1][1] == {100: 0.4}
    assert looking.own == [{round(100 / EPOCHS): 0.3, round(200 / EPOCHS): 0.3}]


def test_what_was_reported_is_not_reported_again() -> None:
    looking = Looking()
    rule, own = OptunaRule(looking), curve(0, 0.3)
    rule.judge(own, [])
    own.add(evaluation(2, 0.5))
    rule.judge(own, [])
    assert looking.own[-1] == {round(100 / EPOCHS): 0.3, round(200 / EPOCHS): 0.5}


def test_a_trial_at_its_end_is_not_asked_about() -> None:
    looking = Looking()
    rule = OptunaRule(looking)
    judged = rule.judge(curve(0, 0.3, first=EPOCHS), [])
    assert (judged.prune, judged.reason) == (False, "not compared at this share")
    assert not looking.own
