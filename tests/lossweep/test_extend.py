"""``lossweep extend`` from the command line: one real small sweep, and what a person may get wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lossweep.commands.extend import _extendable
from lossweep.search.conducting.plans import plan_of
from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import Lease
from lossweep.search.running.existing import stored_spec
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.schedule_file import load_schedule
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop.training import train
from lossweep.trainers.trial import SegmentationTrainer
from tests.lossweep.small_sweep import Run
from tests.search.confirmed_sweeps import sweep

SWEEP = """\
name: small
seed: 3
data: {source: scenes, tile: 64, train: 8, val: 4, test: 4}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}
training: {batch: 4}
space: {preset: single}
sampler: {sampler: random}
objective: {use_case: balanced}
pruning: {pruner: none}
budget: {trials: 2, epochs: 2}
resources: {runner: inline}
controls: {at_least: 1, named: [], shapes: [constant]}
"""


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (OutcomeKind.DIVERGED, "it diverged (too steep): more epochs of the same would diverge again"),
        (OutcomeKind.FAILED, "--retry-failed"),
        (OutcomeKind.PAUSED, "it is paused, not over; go on with it: lossweep resume small --home x"),
        (OutcomeKind.INTERRUPTED, "it is interrupted, not over"),
    ],
)
def test_what_can_not_be_extended_says_why(outcome: OutcomeKind, said: str) -> None:
    history = sweep()
    ended = replace(history.trials[1], outcome=outcome, reason="too steep")
    history = history.holding((history.trials[0], ended), None)
    with pytest.raises(UserError, match="trial 1 can't be extended") as error:
        _extendable(history, 1, 60, " --home x")
    assert said in str(error.value)


def test_a_pruned_trial_can_be_extended_and_only_by_more_epochs() -> None:
    history = sweep()
    pruned = replace(history.trials[1], outcome=OutcomeKind.PRUNED)
    history = history.holding((history.trials[0], pruned), None)
    assert _extendable(history, 1, 5, "") is pruned
    for number, epochs, said in ((1, 4, "allowed: 5 or more, in all"), (9, 60, "allowed: 0 to 1")):
        with pytest.raises(UserError) as error:
            _extendable(history, number, epochs, "")
        assert said in str(error.value)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("extend")


def recorded(home: Path) -> tuple[SweepHistory, SweepSpec]:
    ledger = Ledger(Workspace.at(home / "runs").database_url)
    try:
        return ledger.history("small"), stored_spec(ledger.sweep("small"))
    finally:
        ledger.close()


def figures(evaluation: Evaluation) -> object:
    return evaluation.step, evaluation.metrics, evaluation.losses, evaluation.threshold


@pytest.mark.slow
def test_an_extended_trial_is_as_one_that_had_so_many_epochs_from_the_start(
    home: Path, lossweep: Run
) -> None:
    (home / "small.yaml").write_text(SWEEP)
    assert lossweep("submit", "small.yaml")[0] == 0
    before, spec = recorded(home)
    code, out, error = lossweep("extend", "small", "0", "--epochs", "4")
    assert code == 0, error
    assert out.startswith("Extending trial 0 from 2 to 4 epochs: its last phase, cross_entropy, goes on.")
    assert "Not trained again: its first 2 epochs" in out
    after, _ = recorded(home)
    assert after.trials == before.trials
    (extension,) = after.extensions
    assert dict(extension.shared_epochs) == {0: 2}
    plan = plan_of(spec, extension)
    assert plan.epochs == 4
    data = SegmentationTrainer(spec.data, Workspace.at(home / "runs").cache, None).data()
    from_scratch = list(train(plan, data))
    assert [figures(e) for e in from_scratch] == [figures(e) for e in extension.evaluations]


@pytest.mark.slow
def test_it_is_told_wherever_trials_are_and_used_by_its_number(home: Path, lossweep: Run) -> None:
    code, out, _ = lossweep("extend", "small", "0", "--epochs", "4")
    assert (code, out.count("\n")) == (0, 1)
    assert out.startswith("Trial 2 extends trial 0 to 4 epochs: F1"), "it is there already"
    _, status, _ = lossweep("status", "small")
    assert "Beyond the budget of 2 epochs, and so not ranked among those that had it" in status
    assert out.strip() in status
    _, story, _ = lossweep("why", "small", "2")
    assert "trial 0 with 4 epochs, more than the budget's" in story
    assert "shares 2 of 4 epochs with #0" in story
    assert lossweep("report", "small", "-o", "small.html")[0] == 0
    page = (home / "small.html").read_text()
    assert out.strip().partition(":")[0] in page
    assert "extends #0" in page
    assert lossweep("export", "small", "--trial", "2", "-o", "longer.yaml")[0] == 0
    assert load_schedule(home / "longer.yaml").epochs == 4
    assert lossweep("replay", "longer.yaml")[0] == 0
    assert lossweep("doctor", "small")[0] == 0

    import mlflow

    client = mlflow.MlflowClient(tracking_uri=Workspace.at(home / "runs").mlflow_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'lossweep'")
    tagged = "tags.`lossweep.role` = 'extension'"
    (run,) = client.search_runs([experiment.experiment_id], tagged)
    assert run.data.tags["extends"] == "0"
    assert run.data.tags["mlflow.runName"].startswith("extend #0 to 4 epochs: ")
    assert run.data.metrics["best/score"] == recorded(home)[0].extensions[0].score


@pytest.mark.slow
def test_mistakes_end_with_code_2_and_a_line(home: Path, lossweep: Run) -> None:
    for words, said in (
        (("small", "7", "--epochs", "4"), "no such trial"),
        (("small", "0", "--epochs", "2"), "has a budget of 2 epochs already"),
        (("smal", "0", "--epochs", "4"), "small"),
    ):
        code, _, error = lossweep("extend", *words)
        assert (code, len(error.splitlines())) == (2, 1), error
        assert said in error
    ledger = Ledger(Workspace.at(home / "runs").database_url)
    try:
        with Lease(ledger, "small", lambda reason, kind: None):
            code, _, error = lossweep("extend", "small", "0", "--epochs", "6")
    finally:
        ledger.close()
    assert (code, len(error.splitlines())) == (2, 1), error
    assert "Traceback" not in error
