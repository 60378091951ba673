"""An exported schedule in Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.callbacks import LossScheduleCallback

lightning = pytest.importorskip("lightning.pytorch")

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
pytestmark = pytest.mark.filterwarnings("ignore")


class Module(lightning.LightningModule):
    """Logs what it was trained with; its validation recall is what the test says."""

    def __init__(self, recalls: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.model = nn.Conv2d(3, 1, 1)
        self.criterion: Any = nn.BCEWithLogitsLoss()
        self.recalls = recalls
        self.seen: list[tuple[int, str, float, int]] = []

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        optimizer = self.optimizers().optimizer
        rate = optimizer.param_groups[0]["lr"]
        self.seen.append((self.current_epoch, self.criterion.names[0], rate, len(optimizer.state)))
        loss: Tensor = self.criterion(self.model(batch[0]), batch[1])
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        if self.recalls:
            self.log("val/recall", self.recalls[self.current_epoch])

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=123.0)


class Scheduling(Module):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters())
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


def batches() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 8, 8, generator=generator)
    return DataLoader(TensorDataset(images, (images[:, 0] > 1).long()), batch_size=2)


def trainer(tmp_path: Path, callback: Any, epochs: int, **options: Any) -> Any:
    return lightning.Trainer(
        max_epochs=epochs,
        callbacks=[callback],
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def fit(tmp_path: Path, module: Any, callback: Any, epochs: int, **options: Any) -> Any:
    run = trainer(tmp_path, callback, epochs)
    run.fit(module, batches(), batches(), **options)
    return run


def test_the_schedule_trains_the_module(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    schedule = LossSchedule.parse("weighted_ce(weights=[1, 9]) @1e-2 x2 -> jaccard @1e-3 x1 fresh | 2 cycles")
    path.write_text(schedule.to_yaml() + "classes: [background, vehicle]\n")
    module = Module()
    fit(tmp_path, module, LossScheduleCallback(path), 6)
    by_epoch = dict.fromkeys((epoch, name, rate) for epoch, name, rate, _ in module.seen)
    assert list(by_epoch) == [
        (0, "weighted_ce", 1e-2),
        (1, "weighted_ce", 1e-2),
        (2, "jaccard", 1e-3),
        (3, "weighted_ce", 1e-2),
        (4, "weighted_ce", 1e-2),
        (5, "jaccard", 1e-3),
    ]
    moments = [state for epoch, _, _, state in module.seen]
    # Two steps an epoch; the moments are there from the second step on, and gone at each fresh phase's start.
    assert [state > 0 for state in moments] == [
        False,
        True,
        True,
        True,
        False,
        True,
        *[True] * 4,
        False,
        True,
    ]


def test_metrics_switch_the_phase_and_survive_a_checkpoint(tmp_path: Path) -> None:
    schedule = LossSchedule.parse(
        "cross_entropy @1e-2 until recall>=0.9 in 1..9 back <0.3 -> jaccard @1e-3 x9"
    )
    recalls = (0.5, 0.95, 0.6, 0.2, 0.95, 0.95)
    expected = ["cross_entropy", "cross_entropy", "jaccard", "jaccard", "cross_entropy", "jaccard"]

    def callback() -> LossScheduleCallback:
        return LossScheduleCallback(schedule, PRIOR, metrics={"recall": "val/recall"})

    whole = Module(recalls)
    fit(tmp_path, whole, callback(), 6)
    assert [name for epoch, name, *_ in whole.seen[::2]] == expected

    first = Module(recalls)
    stopping = trainer(tmp_path, callback(), 3)
    stopping.fit(first, batches(), batches())
    stopping.save_checkpoint(tmp_path / "third.ckpt")
    second = Module(recalls)
    fit(tmp_path, second, callback(), 6, ckpt_path=tmp_path / "third.ckpt", weights_only=False)
    assert [name for epoch, name, *_ in (first.seen + second.seen)[::2]] == expected


def test_a_module_that_does_not_fit_is_told(tmp_path: Path) -> None:
    schedule = LossSchedule.parse("jaccard @1e-3 x1")
    with pytest.raises(UserError, match=r"no attribute 'criterium'.*did you mean 'criterion'"):
        fit(tmp_path, Module(), LossScheduleCallback(schedule, PRIOR, attribute="criterium"), 1)
    with pytest.raises(UserError, match="must not return schedulers"):
        fit(tmp_path, Scheduling(), LossScheduleCallback(schedule, PRIOR), 1)


def test_a_metric_that_is_not_logged_is_named(tmp_path: Path) -> None:
    schedule = LossSchedule.parse("cross_entropy @1e-2 until recall>=0.9 in 1..3 -> jaccard @1e-3 x1")
    with pytest.raises(UserError, match="phases wait for a metric; found recall"):
        LossScheduleCallback(schedule, PRIOR, metrics={"precision": "val/precision"})
    with pytest.raises(UserError, match="not logged; found val/rcall"):
        fit(
            tmp_path,
            Module((0.5,)),
            LossScheduleCallback(schedule, PRIOR, metrics={"recall": "val/rcall"}),
            2,
        )
