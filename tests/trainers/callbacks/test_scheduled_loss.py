"""An exported schedule in a bare loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.callbacks import ScheduledLoss
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.evaluation import realised
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import TrialPlan

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.98, 0.02))


def exported(path: Path, line: str, **more: object) -> Path:
    schedule = LossSchedule.parse(line)
    content = {**yaml.safe_load(schedule.to_yaml()), "classes": list(PRIOR.names), **more}
    path.write_text(yaml.safe_dump(content))
    return path


def test_epochs_go_through_the_schedule(tmp_path: Path) -> None:
    line = "weighted_ce(weights=[1, 40]) @1e-3 x2 -> jaccard @1e-4 x1 | 2 cycles"
    scheduled = ScheduledLoss.load(exported(tmp_path / "best.yaml", line))
    assert scheduled.epochs == 6
    turns = [scheduled.at(epoch) for epoch in range(scheduled.epochs + 1)]
    assert [rate for _, rate in turns] == [1e-3, 1e-3, 1e-4, 1e-3, 1e-3, 1e-4, 1e-4]
    assert [criterion.names[0] for criterion, _ in turns[:3]] == ["weighted_ce", "weighted_ce", "jaccard"]
    logits, masks = torch.randn(2, 1, 8, 8, requires_grad=True), torch.randint(0, 2, (2, 8, 8))
    turns[2][0](logits, masks).backward()
    assert logits.grad is not None
    with pytest.raises(IndexError):
        scheduled.at(-1)


def test_a_phase_that_waited_for_a_metric_lasts_as_recorded(
    tmp_path: Path, scenes: SegmentationData, plan_of: Callable[..., TrialPlan]
) -> None:
    line = "weighted_ce(weights=[1, 8]) @5e-3 until recall>=0.05 in 1..4 -> jaccard @1e-4 x1 | 3 cycles"
    evaluations = list(train(plan_of(line, 7), scenes))
    stays = [stay.model_dump() for stay in realised(evaluations)]  # as the exporter writes it
    path = exported(tmp_path / "best.yaml", line, realised=stays, epochs=7)
    scheduled = ScheduledLoss.load(path)
    rates = [scheduled.at(epoch)[1] for epoch in range(scheduled.epochs)]
    assert rates == [evaluation.learning_rate for evaluation in evaluations]
    names = [scheduled.at(epoch)[0].names[0] for epoch in range(scheduled.epochs)]
    assert [f"{name}" for name in names] == [e.loss_name.partition("(")[0] for e in evaluations]


def test_metrics_of_ones_own_move_it(tmp_path: Path) -> None:
    line = "cross_entropy @1e-3 until recall>=0.9 in 1..5 -> jaccard @1e-4 x1"
    scheduled = ScheduledLoss.load(exported(tmp_path / "best.yaml", line))
    cursor, rates = scheduled.start(epochs=4), []
    for recall in (0.5, 0.95, 0.2, 0.2):
        rates.append(scheduled.of(cursor)[1])
        cursor = cursor.advance({"recall": recall})
    assert cursor.finished
    assert rates == [1e-3, 1e-3, 1e-4, 1e-4]


def test_steps_see_the_warm_up_and_the_cosine(tmp_path: Path) -> None:
    scheduled = ScheduledLoss.load(exported(tmp_path / "s.yaml", "cross_entropy @1e-2 x2 cosine warmup 4"))
    steps = [scheduled.at(epoch, step, 8)[1] for epoch in (0, 1) for step in range(8)]
    assert steps[:5] == pytest.approx([2.5e-3, 5e-3, 7.5e-3, 1e-2, 1e-2])
    assert steps[4:] == sorted(steps[4:], reverse=True)
    assert scheduled.at(0)[1] == pytest.approx(1e-2), "an epoch's rate leaves the warm-up out"
    assert scheduled.at(1)[1] == pytest.approx(0.505e-2, rel=1e-4), "half way down"


RAMP = (
    "cross_entropy + 0..1*dice @1e-3 x2 -> focal(gamma=cosine(0..2)) @1e-4 until recall>=0.9 in 1..2"
    " | 2 cycles"
)


def weights_of(scheduled: ScheduledLoss, *at: int) -> float:
    criterion, _ = scheduled.at(*at)
    return float(criterion.weights[1])


def test_a_ramp_is_at_each_step_where_training_had_it() -> None:
    scheduled = ScheduledLoss(LossSchedule.parse(RAMP), PRIOR)
    steps = [weights_of(scheduled, epoch, step, 4) for epoch in (0, 1, 4) for step in range(4)]
    assert steps == [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 0, 0.125, 0.25, 0.375]
    assert [weights_of(scheduled, epoch) for epoch in (0, 1)] == [0.0, 0.5], (
        "an epoch's is that of its first step"
    )
    assert weights_of(scheduled, 0, 4, 4) == 0.375, "a step too many is the epoch's last"
    gammas = [
        float(scheduled.at(2 + step // 4, step % 4, 4)[0].get_buffer("terms.0.gamma")) for step in (0, 4)
    ]
    assert gammas == pytest.approx([0.0, 1.0])


def test_a_ramp_of_the_last_phase_is_held_at_its_end() -> None:
    scheduled = ScheduledLoss(LossSchedule.parse("cross_entropy + 1..3*dice @1e-3 x2"), PRIOR)
    assert [weights_of(scheduled, epoch, step, 2) for epoch in (1, 2, 9) for step in (0, 1)] == [
        2,
        2.5,
        3,
        3,
        3,
        3,
    ]


def test_ramps_go_on_after_the_loss_has_moved_or_was_rounded() -> None:
    scheduled = ScheduledLoss(LossSchedule.parse("cross_entropy + 0..1*dice @1e-3 x1"), PRIOR)
    assert weights_of(scheduled, 0, 1, 4) == 0.25
    scheduled.float()
    assert scheduled.at(0)[0].weights.dtype == torch.float32
    assert weights_of(scheduled, 0, 2, 4) == 0.5


@pytest.mark.parametrize("shape", ["cosine", "drop", "constant"])
@pytest.mark.parametrize("recorded", [False, True])
def test_past_the_end_the_last_phase_goes_on(shape: str, recorded: bool) -> None:
    line = f"jaccard @1e-3 x2 -> cross_entropy @1e-2 x1 {'' if shape == 'constant' else shape} warmup 2 fresh"
    schedule: LossSchedule = LossSchedule.parse(line)
    if recorded:
        stays = ({"phase": 0, "epochs": 2, "from_epoch": 0}, {"phase": 1, "epochs": 1, "from_epoch": 2})
        schedule = ScheduleFile(**dict(schedule), classes=PRIOR.names, realised=stays)
    scheduled, whole = ScheduledLoss(schedule, PRIOR), ScheduleCursor.start(LossSchedule.parse(line), 9)
    for epoch in range(9):
        place = scheduled.position(epoch)
        assert (place.epoch, place.phase, place.epochs_in_phase) == (
            epoch,
            whole.phase,
            whole.epochs_in_phase,
        )
        for step in range(4):
            done = whole.epochs_in_phase * 4 + step
            assert scheduled.at(epoch, step, 4)[1] == whole.learning_rate(done, 4)
        whole = whole.advance()
    end = {"cosine": 1e-4, "drop": 1e-3, "constant": 1e-2}[shape]
    assert [scheduled.at(epoch, 0, 4)[1] for epoch in (3, 4, 50)] == pytest.approx([end] * 3)
    assert [scheduled.at(epoch)[1] for epoch in (3, 4, 50)] == pytest.approx([end] * 3)


def test_a_record_without_an_epoch_says_nothing_and_one_that_ends_early_goes_on() -> None:
    schedule = LossSchedule.parse("jaccard @1e-3 x2 -> cross_entropy @1e-2 x2 cosine")

    def places(*stays: tuple[int, int], epochs: int | None = None, beyond: int = 0) -> list[tuple[int, int]]:
        written = [{"phase": phase, "epochs": length, "from_epoch": 0} for phase, length in stays]
        recorded = ScheduleFile(**dict(schedule.with_budget(epochs)), classes=PRIOR.names, realised=written)
        scheduled = ScheduledLoss(recorded)
        found = [scheduled.position(epoch) for epoch in range(scheduled.epochs + beyond)]
        return [(place.phase, place.epochs_in_phase) for place in found]

    assert places((0, 0)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert places((0, 1), (1, 1), epochs=5) == [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3)]
    assert places((0, 1), (1, 4)) == [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3)]
    assert places((0, 1), (1, 4), epochs=2) == [(0, 0), (1, 0)]
    assert places((0, 2), (1, 2), epochs=2, beyond=2) == [(0, 0), (0, 1), (0, 2), (0, 3)]


def test_weights_by_frequency_need_the_frequencies(tmp_path: Path) -> None:
    path = exported(tmp_path / "best.yaml", "weighted_ce(power=1) @1e-3 x1")
    with pytest.raises(UserError, match="give prior="):
        ScheduledLoss.load(path)
    criterion, _ = ScheduledLoss.load(path, PRIOR).at(0)
    logits = torch.zeros(1, 1, 4, 4)
    assert criterion(logits, torch.ones(1, 4, 4, dtype=torch.long)) > 0


def test_a_prior_of_other_classes_is_refused(tmp_path: Path) -> None:
    path = exported(tmp_path / "best.yaml", "jaccard @1e-3 x1")
    three = ClassPrior(names=("background", "car", "truck"), frequencies=(0.9, 0.05, 0.05))
    with pytest.raises(UserError, match="other classes"):
        ScheduledLoss.load(path, three)


def test_a_schedule_without_classes_needs_a_prior() -> None:
    schedule = LossSchedule.parse("jaccard @1e-3 x1")
    with pytest.raises(UserError, match="names no classes"):
        ScheduledLoss(schedule)
    assert ScheduledLoss(schedule, PRIOR).epochs == 1


def test_it_moves_with_its_losses_and_adds_nothing_to_a_checkpoint() -> None:
    scheduled = ScheduledLoss(LossSchedule.parse("weighted_ce(weights=[1, 3]) @1e-3 x1"), PRIOR)
    assert scheduled.state_dict() == {}
    assert all(buffer.device.type == "meta" for buffer in scheduled.to("meta").buffers())


def test_an_exported_file_brings_the_frequencies_its_weights_follow_from(tmp_path: Path) -> None:
    schedule = LossSchedule.parse("weighted_ce(power=1) @1e-3 x2")
    path = tmp_path / "best.yaml"
    exported = ScheduleFile(
        phases=schedule.phases, classes=("background", "vehicle"), frequencies=(0.9, 0.1), epochs=2
    )
    path.write_text(exported.to_yaml())
    logits, target = torch.zeros(1, 1, 2, 2), torch.tensor([[[0, 0], [0, 1]]])
    criterion, _ = ScheduledLoss.load(path).at(0)
    logits[0, 0, 1, 1] = 2.0
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[:, 0], target.float(), reduction="none"
    )
    weights = torch.tensor([[[1.0, 1.0], [1.0, 9.0]]])
    assert torch.isclose(criterion(logits, target), (losses * weights).sum() / weights.sum())


def test_frequencies_without_their_classes_are_refused() -> None:
    schedule = LossSchedule.parse("cross_entropy @1e-3 x2")
    with pytest.raises(ValueError, match="one each"):
        ScheduleFile(phases=schedule.phases, frequencies=(0.9, 0.1))
