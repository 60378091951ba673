"""A sweep of a user's own parts, a file each beside the sweep file: loss, guard, metric, sampler and data."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing

import pytest

from lossweep.search.ledger import Ledger
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.workspace import Workspace

pytestmark = pytest.mark.slow

PARTS = {
    "my_loss.py": """\
import torch


class Soft(torch.nn.Module):
    def __init__(self, power):
        super().__init__()
        self.power = power

    def forward(self, logits, target):
        kept = target != 255
        wrong = (logits.squeeze(1).sigmoid() - target.clamp(max=1).to(logits.dtype)).abs()
        return (wrong[kept] ** self.power).mean()
""",
    "my_guard.py": """\
from dataclasses import dataclass

from pydantic import BaseModel, Field

from lossweep.trainers.guards import Evidence, Rule


class Rates(BaseModel):
    most: float = Field(gt=0.0)
    patience: int = 1


@dataclass
class Seen:
    above: int = 0


class TooFast(Rule[Rates, Seen]):
    spec_type = Rates
    state_type = Seen

    def on_evaluation(self, evaluation, positives):
        self.state.above += evaluation.learning_rate > self.spec.most
        if self.state.above >= self.spec.patience:
            return Evidence("too fast", {"learning_rate": evaluation.learning_rate})
""",
    "my_sampler.py": """\
from optuna.samplers import BaseSampler


class Steps(BaseSampler):
    def __init__(self, rates):
        self.rates = rates

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, name, distribution):
        return self.rates[trial.number % len(self.rates)]
""",
    "my_data.py": """\
import numpy as np


def squares(count):
    random = np.random.default_rng(0)

    def split(items):
        pairs = []
        for _ in range(items):
            mask = np.zeros((64, 64), np.uint8)
            top, left = random.integers(0, 48, 2)
            mask[top : top + 12, left : left + 12] = 1
            noise = random.integers(0, 120, (3, 64, 64))
            pairs.append(((noise + 120 * mask).astype(np.uint8), mask))
        return pairs

    return {"train": split(count), "val": split(4), "test": split(4)}
""",
    "my_metric.py": """\
import numpy as np


def found(images):
    hit = [np.any(prediction[truth == 1] == 1) for truth, prediction in images if np.any(truth == 1)]
    return float(np.mean(hit))
""",
}
SWEEP = """\
name: own
data: {source: import, function: "my_data:squares", path: ., parameters: {count: 8}, tile: 64}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}
training: {batch: 4}
guards: {my_guard:TooFast: {most: 0.02, patience: 2}}
space:
  phases:
    - losses:
        - {term: "my_loss:Soft", parameters: {power: 2}}
      learning_rate: {low: 1e-4, high: 1e-1, log: true}
controls: {search: false, named: []}
objective: {metric: "my_metric:found"}
pruning: {pruner: none}
sampler: {sampler: "my_sampler:Steps", parameters: {rates: [0.05, 0.005]}}
budget: {trials: 2, epochs: 2}
resources: {runner: inline}
"""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> SweepHistory:
    """What a sweep came to that was submitted in a folder with these files."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in {**PARTS, "sweep.yaml": SWEEP}.items():
        (folder / name).write_text(text)
    there = {**os.environ, "LOSSWEEP_HOME": str(folder / "runs"), "OMP_NUM_THREADS": "1"}
    said = subprocess.run(
        [sys.executable, "-m", "lossweep", "submit", "sweep.yaml"],
        cwd=folder,
        env=there,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    with closing(Ledger(Workspace.at(folder / "runs").database_url)) as ledger:
        return ledger.history("own")


def test_two_trials_train_with_the_own_loss(history: SweepHistory) -> None:
    assert [trial.control for trial in history.trials] == [None, None]
    for trial in history.trials:
        assert trial.schedule.family == "my_loss:Soft"
        assert {name for each in trial.evaluations for name in each.losses} == {"total", "my_loss:Soft"}


def test_the_own_sampler_proposed_them(history: SweepHistory) -> None:
    rates = [trial.schedule.phases[0].learning_rate for trial in history.trials]
    assert rates == [0.05, 0.005]


def test_the_own_guard_ended_the_fast_one_alone(history: SweepHistory) -> None:
    fast, other = history.trials
    assert other.outcome is OutcomeKind.COMPLETED
    assert fast.outcome is OutcomeKind.DIVERGED
    verdict = fast.evaluations[-1].verdict
    assert verdict is not None
    assert (verdict.rule, dict(verdict.figures)) == ("my_guard:TooFast", {"learning_rate": 0.05})
    assert len(fast.evaluations) == 2


def test_the_own_metric_is_what_they_are_scored_by(history: SweepHistory) -> None:
    assert history.metric == "my_metric:found"
    for trial in history.trials:
        assert all(0.0 <= each.metrics["my_metric:found"] <= 1.0 for each in trial.evaluations)
    winner = history.winner()
    assert winner is not None
    assert winner.score == max(each.metrics["my_metric:found"] for each in winner.evaluations)


def test_the_own_data_was_learned_from(history: SweepHistory) -> None:
    assert all(trial.evaluations[-1].metrics["ap"] > 12 * 12 / 64**2 / 2 for trial in history.trials)
