"""What is decided upon an evaluation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState, create_trial

from lossweep.search.conducting.judging import Judging
from lossweep.search.conducting.settings import SearchSettings
from lossweep.search.pruning import Pruner, PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from lossweep.search.study.record import SCHEDULE
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation, GuardVerdict
from lossweep.trainers.scoring.objectives import ObjectiveSpec
from tests.search.sweeps import SmallSpace

PRUNER = """\
from optuna.pruners import BasePruner


class Always(BasePruner):
    def prune(self, study, trial):
        return True
"""


@pytest.fixture(params=["ending:Always", "median"])
def judging(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Judging]:
    """By a user's pruner that ends whatever it sees, or by one that ends what is worse than its peers."""
    (tmp_path / "ending.py").write_text(PRUNER)
    monkeypatch.syspath_prepend(tmp_path)
    settings = SearchSettings(
        space=SmallSpace(),
        objective=ObjectiveSpec(use_case="balanced"),
        pruning=PruningSpec(pruner=request.param, min_peers=1, audit=0.0),
        sampler=SamplerSpec(),
        trials=4,
    )
    judging = Judging(settings, MemoryJournal())
    schedule = LossSchedule.parse("dice @1e-3 x2 | 2 epochs")
    for number in range(3):
        trial = create_trial(state=TrialState.RUNNING, user_attrs={SCHEDULE: schedule.plain()})
        trial.number = number
        judging.add(trial)
    yield judging
    sys.modules.pop("ending", None)


def evaluation(epoch: int, verdict: GuardVerdict | None = None, ap: float = 0.1) -> Evaluation:
    return Evaluation(
        step=epoch,
        epoch=epoch,
        epochs=2,
        phase=0,
        cycle=0,
        loss_name="",
        learning_rate=1e-3,
        metrics={"ap": ap},
        cycle_ended=True,
        finished=epoch == 2,
        verdict=verdict,
    )


def test_a_pruner_ends_a_trial_but_none_that_has_trained_its_whole_budget(judging: Judging) -> None:
    for number in (0, 1):
        for epoch in (1, 2):
            judging.decide(number, evaluation(epoch, ap=0.9), None, group="proposals")
    first = judging.decide(2, evaluation(1), None, group="proposals")
    assert first.action is Decision.PRUNE
    last = judging.decide(2, evaluation(2), None, group="proposals")
    assert last.action is Decision.CONTINUE


def test_no_rule_of_whatever_kind_ends_a_trial_at_its_end(
    judging: Judging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules that there are don't try to: each looks at the share of the budget itself."""
    ending = DecisionRecord(1, Decision.PRUNE, "worse", {"rank": 3.0})
    monkeypatch.setattr(Pruner, "decide", lambda self, number, evaluation: ending)
    assert judging.decide(2, evaluation(1), None, group="proposals") == ending
    last = judging.decide(2, evaluation(2), None, group="proposals")
    assert last == DecisionRecord(2, Decision.CONTINUE, "trained its whole budget", {"rank": 3.0})


def test_a_confirmation_is_never_pruned(judging: Judging) -> None:
    judged = judging.decide(2, evaluation(1), None, group="confirmations")
    assert (judged.action, judged.reason) == (Decision.CONTINUE, "a confirmation is never pruned")


@pytest.mark.parametrize("confirms", [True, False])
def test_a_guards_word_is_first(judging: Judging, confirms: bool) -> None:
    verdict = GuardVerdict("non_finite", 1, 0, "the loss is not finite", {"loss": 2.0})
    diverged = Outcome(OutcomeKind.DIVERGED, "non_finite: the loss is not finite")
    judged = judging.decide(2, evaluation(2, verdict), diverged, confirms)
    assert (judged.action, judged.reason) == (Decision.DIVERGE, "non_finite: the loss is not finite")
    assert judged.figures == {"loss": 2.0}
    assert judging.decide(2, evaluation(2), diverged, confirms).figures == {}
