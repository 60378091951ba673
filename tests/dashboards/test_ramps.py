"""A simulated sweep of losses that ramp, in every place where schedules are shown."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from lossweep.dashboards.mlflow.content import trial_content
from lossweep.dashboards.report.build import build_report
from lossweep.dashboards.terminal import tables
from lossweep.dashboards.terminal.trial_story import why
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.history import SweepHistory
from lossweep.search.verdicts.simplicity import complexity
from lossweep.spaces.proposing.schedule_space import SpaceSpec
from lossweep.spaces.schedules.schedule import LossSchedule
from tests.search.sweeps import conductor

LINE = "0..1*dice + cross_entropy"
SPACE = SpaceSpec.model_validate(
    {
        "cycles": 1,
        "phases": [
            {
                "losses": [
                    {
                        "sum": [
                            {"loss": {"term": "cross_entropy"}},
                            {
                                "weight": {"from": 0.01, "to": {"choice": [1, 2]}},
                                "loss": {"term": "dice"},
                            },
                        ]
                    }
                ],
                "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            }
        ],
    }
)


def shown(what: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=220)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return] # a StringIO


@pytest.fixture(scope="module")
def history() -> SweepHistory:
    return simulate_sweep(16, 1, space=SPACE, sampler=SamplerSpec(sampler="random", ahead=False))


def test_a_ramp_is_shown_on_its_line(history: SweepHistory) -> None:
    trial = next(trial for trial in history.trials if any(phase.ramps for phase in trial.schedule.phases))
    line = trial.schedule.phases[0].loss_name
    assert line in ("cross_entropy + 0.01..1*dice", "cross_entropy + 0.01..2*dice")
    for page in (shown(why(history, trial.number)), shown(tables.leaderboard(history, 16))):
        assert line in page
    content = trial_content(trial, history)
    assert line in content.params["schedule"]
    assert content.params["phase0.cross_entropy_dice.dice.weight.to"] in ("1", "2", "1.0", "2.0")
    assert line in build_report(history)


def test_the_simulated_trainer_follows_a_ramp() -> None:
    """At its beginning all is cross-entropy's, at its end Dice has its say: they push the threshold apart."""
    lines = (
        "cross_entropy @1e-3 x8",
        "cross_entropy + 0..9*dice @1e-3 x8",
        "cross_entropy + 9*dice @1e-3 x8",
    )
    schedules = [LossSchedule.parse(line) for line in lines]
    plans = [conductor(1, controls={"one": schedule}).ask() for schedule in schedules]
    courses = [list(SimulatedTrainer(noise=0.0).trial(plan)) for plan in plans if plan]
    first = [course[0].metrics["ap"] for course in courses]
    assert first[1] != first[2]
    last = [course[-1].metrics["ap"] for course in courses]
    assert len(set(last)) == 3


def test_a_loss_that_ramps_is_less_simple() -> None:
    plain, ramped = (LossSchedule.parse(f"cross_entropy + {w}*dice @1e-3 x2") for w in ("0.5", "0.1..0.5"))
    assert complexity(plain) < complexity(ramped)
