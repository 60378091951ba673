"""Guards end to end: a bad focal run is stopped at its collapse, honest runs are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.rules.all_background import AllBackgroundSpec
from lossweep.trainers.guards.rules.all_foreground import AllForegroundSpec
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import TrialPlan

pytestmark = pytest.mark.slow
SCENES = ScenesSource(source="scenes", tile=64, train=40, val=12, test=1)
# Ten steps are an epoch here: the warm-up of real trials would outlast these.
GUARDS = GuardSpec(all_background=AllBackgroundSpec(warm_up=20), all_foreground=AllForegroundSpec(warm_up=20))


@pytest.fixture(scope="module")
def more_scenes(tmp_path_factory: pytest.TempPathFactory) -> SegmentationData:
    return load_data(SCENES, tmp_path_factory.mktemp("cache"))


def run(line: str, plan_of: Callable[..., TrialPlan], data: SegmentationData) -> list[Evaluation]:
    return list(train(plan_of(line, 9, data=SCENES, guards=GUARDS), data))


def test_a_bad_focal_phase_is_stopped_within_one_evaluation_of_its_collapse(
    plan_of: Callable[..., TrialPlan], more_scenes: SegmentationData
) -> None:
    # alpha = 0.01 gives the one percent of foreground a hundredth of the weight, at a rate that forgets the
    # rest.
    line = "weighted_ce(power=0.5) @5e-3 x3 -> focal(alpha=0.01) @3e-1 x6"
    evaluations = list(train(plan_of(line, 9, data=SCENES, guards=GuardSpec()), more_scenes))  # as they come
    base = more_scenes.prior.foreground
    collapsed = [e.metrics["recall"] < 0.001 and e.metrics["ap"] < 2 * base for e in evaluations]
    assert not any(collapsed[:3]), "it had learned before"
    assert evaluations[2].metrics["ap"] > 10 * base
    verdict = evaluations[-1].verdict
    assert verdict is not None
    assert verdict.rule in ("all_background", "ap_collapse")
    assert verdict.phase == 1
    assert len(evaluations) - 1 - collapsed.index(True) <= 1
    assert not evaluations[-1].finished


@pytest.mark.parametrize("power", [1.0, 1.5])
def test_the_recall_biased_control_goes_on(
    power: float, plan_of: Callable[..., TrialPlan], more_scenes: SegmentationData
) -> None:
    plan = plan_of(f"weighted_ce(power={power}) @5e-3 x7", 7, data=SCENES, guards=GUARDS)
    evaluations = list(train(plan, more_scenes))
    assert evaluations[-1].finished
    assert all(e.verdict is None for e in evaluations)
    # As a ratio: processors differ in how far it goes, not in which way.
    biased = [e.metrics["recall"] > max(0.7, 3 * e.metrics["precision"]) for e in evaluations]
    assert sum(biased) >= 3, "it is as recall-biased as it should be"


def test_a_rate_far_too_high_ends_by_a_guard(
    plan_of: Callable[..., TrialPlan], more_scenes: SegmentationData, tmp_path: Path
) -> None:
    evaluations = run("weighted_ce(power=0.5) @5e-3 x3 -> cross_entropy @10 x6", plan_of, more_scenes)
    assert evaluations[-1].verdict is not None
    assert evaluations[-1].verdict.phase == 1
