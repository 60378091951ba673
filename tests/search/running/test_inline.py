from __future__ import annotations

import os
from pathlib import Path

import pytest

from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.inline import InlineRunner
from lossweep.search.running.runner import Runner, runner_for
from lossweep.search.study.outcomes import OutcomeKind
from tests.search.running.contract import RunnerContract
from tests.search.small_sweeps import spec, workspace
from tests.search.sweeps import EPOCHS, Scripted, conductor, evaluation


class TestOneByOne(RunnerContract):
    @pytest.fixture
    def runner(self) -> Runner:
        return InlineRunner()


class TestSideBySide(RunnerContract):
    @pytest.fixture
    def runner(self) -> Runner:
        return InlineRunner(3)


def test_what_would_be_done_first_reports_first() -> None:
    boss = conductor(2)
    order = []
    observe = boss.observe

    def noting(number, step):
        order.append((number, step.epoch))
        return observe(number, step)

    boss.observe = noting  # type: ignore[method-assign]
    slow = [evaluation(1), evaluation(EPOCHS)]
    quick = [evaluation(e) for e in (1, 2, EPOCHS)]
    for step, seconds in zip([*slow, *quick], (10.0, 10.0, 3.0, 3.0, 3.0), strict=True):
        object.__setattr__(step, "seconds", seconds)
    trainer = Scripted({0: slow, 1: quick})
    InlineRunner(2).run(Dispatcher(boss), trainer)
    assert order == [(1, 1), (1, 2), (1, EPOCHS), (0, 1), (0, EPOCHS)]
    assert trainer.prepared == 1


def test_a_trainer_that_stops_short_has_failed() -> None:
    boss = conductor(1)
    InlineRunner().run(Dispatcher(boss), Scripted({0: [evaluation(1)]}))
    assert boss.history(0).outcome is OutcomeKind.FAILED
    assert "before the trial's budget" in boss.history(0).reason


def test_a_process_that_lost_its_gpu_pauses_the_sweep() -> None:
    """Whatever it would train next fails within seconds: each trial would be lost to it."""

    class Losing(Scripted):
        def trial(self, plan):
            started.append(plan.number)
            yield evaluation(1)
            raise RuntimeError("CUDA error: device-side assert triggered")

    started: list[int] = []
    boss = conductor(4)
    dispatcher = Dispatcher(boss)
    InlineRunner().run(dispatcher, Losing({}))
    assert dispatcher.paused == "RuntimeError: CUDA error: device-side assert triggered"
    assert boss.history(0).outcome is OutcomeKind.INTERRUPTED
    assert started == [0]


@pytest.mark.parametrize(("gpus", "visible"), [(0.0, ""), (None, "3"), (1.0, "3")])
def test_a_process_whose_trials_hold_no_gpu_sees_none(
    gpus: float | None, visible: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "3")
    monkeypatch.setenv("LOSSWEEP_GPUS_HIDDEN", "")
    runner_for(spec(resources={"runner": "inline", "gpus_per_trial": gpus}), workspace(tmp_path))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == os.environ["HIP_VISIBLE_DEVICES"] == visible
