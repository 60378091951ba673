"""An exported schedule in Lightning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.callbacks import LossScheduleCallback

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
pytestmark = pytest.mark.filterwarnings("ignore")


class Module(lightning.LightningModule):
    """Logs what it was trained with; its validation recall is what the test says."""

    def __init__(self, recalls: tuple[float, ...] = ()) -> None:
        super().__init__()
        torch.manual_seed(0)
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

    @property
    def losses(self) -> list[str]:
        """The loss of each epoch's first batch."""
        return list({epoch: name for epoch, name, *_ in reversed(self.seen)}.values())[::-1]


class Scheduling(Module):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters())
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


def batches() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 8, 8, generator=generator)
    return DataLoader(TensorDataset(images, (images[:, 0] > 1).long()), batch_size=2)


def equal_batches() -> DataLoader[Any]:
    """Two batches that are the same: Lightning, resumed in mid-epoch, starts its loader from the front."""
    images, masks = batches().dataset[:2]
    return DataLoader(TensorDataset(images.repeat(2, 1, 1, 1), masks.repeat(2, 1, 1)), batch_size=2)


class Endless(IterableDataset[Any]):
    """The same batches, of a data set that doesn't know how many they are."""

    def __iter__(self) -> Any:
        yield from batches().dataset


def endless() -> DataLoader[Any]:
    return DataLoader(Endless(), batch_size=2)


def trainer(tmp_path: Path, callback: Any, epochs: int, *callbacks: Any, **options: Any) -> Any:
    return lightning.Trainer(
        max_epochs=epochs,
        callbacks=[callback, *callbacks],
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=bool(callbacks),
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


SAVES = {
    "at the end of the validation": {"monitor": "val/recall", "mode": "max"},
    "at the end of the epoch": {"save_on_train_epoch_end": True},
    "in mid-epoch": {"every_n_train_steps": 1},
}


@pytest.mark.parametrize("metrics", [None, {"recall": "val/recall"}])
@pytest.mark.parametrize("saved", SAVES)
def test_resuming_anywhere_ends_in_the_same_weights(
    tmp_path: Path, saved: str, metrics: dict[str, str] | None
) -> None:
    schedule = LossSchedule.parse(
        "cross_entropy @1e-1 until recall>=0.9 in 1..2 -> dice @1e-1 x2 cosine warmup 3 fresh"
    )
    recalls = (0.1, 0.95, 0.95, 0.95)

    def callback() -> LossScheduleCallback:
        return LossScheduleCallback(schedule, PRIOR, metrics=metrics)

    saving = ModelCheckpoint(tmp_path / "saved", "{epoch}-{step}", save_top_k=-1, **SAVES[saved])
    whole = Module(recalls)
    trainer(tmp_path, callback(), 4, saving).fit(whole, equal_batches(), batches())
    assert whole.losses == ["cross_entropy", "cross_entropy", "dice", "dice"]
    # Of one saved between an epoch's last step and its validation, Lightning leaves the validation out.
    unmeasured = [f"epoch={epoch}-step={2 * epoch + 2}" for epoch in range(4) if saved == "in mid-epoch"]
    places = [path for path in (tmp_path / "saved").iterdir() if path.stem not in unmeasured]
    assert len(places) == 4
    for path in places:
        resumed = Module(recalls)
        run = trainer(tmp_path, callback(), 4)
        run.fit(resumed, equal_batches(), batches(), ckpt_path=path, weights_only=False)
        assert resumed.seen == whole.seen[len(whole.seen) - len(resumed.seen) :], path.name
        for mine, other in zip(resumed.parameters(), whole.parameters(), strict=True):
            assert torch.equal(mine, other), path.name


@pytest.mark.parametrize("metrics", [None, {"recall": "val/recall"}])
def test_a_second_fit_starts_the_schedule_anew_and_the_same_trainer_goes_on(
    tmp_path: Path, metrics: dict[str, str] | None
) -> None:
    callback = LossScheduleCallback(
        LossSchedule.parse("cross_entropy @1e-2 until recall>=0.9 in 1..2 -> dice @1e-3 x2 fresh"),
        PRIOR,
        metrics=metrics,
    )
    expected = ["cross_entropy", "cross_entropy", "dice", "dice"]
    for _ in range(2):  # the folds of a cross-validation
        module = Module((0.1, 0.95, 0.95, 0.95))
        fit(tmp_path, module, callback, 4)
        assert module.losses == expected
    module = Module((0.1, 0.95, 0.95, 0.95))
    run = trainer(tmp_path, callback, 1)
    run.fit(module, batches(), batches())
    for epochs in (3, 4):
        run.fit_loop.max_epochs = epochs
        run.fit(module, batches(), batches())
    assert module.losses == expected


def test_past_the_end_a_fresh_phase_keeps_its_moments(tmp_path: Path) -> None:
    module = Module()
    schedule = LossSchedule.parse("cross_entropy @1e-2 x1 -> dice @1e-3 x1 cosine fresh")
    fit(tmp_path, module, LossScheduleCallback(schedule, PRIOR), 4)
    assert [state > 0 for epoch, _, _, state in module.seen if epoch] == [False, True, True, True, True, True]
    assert [rate for epoch, _, rate, _ in module.seen if epoch > 1] == pytest.approx([1e-5] * 4)


def test_a_loader_without_a_length_is_trained_where_rates_need_none(tmp_path: Path) -> None:
    module = Module((0.95, 0.95, 0.95))
    line = "cross_entropy @1e-2 until recall>=0.9 in 1..2 -> jaccard @1e-3 x1 fresh"
    callback = LossScheduleCallback(LossSchedule.parse(line), PRIOR, metrics={"recall": "val/recall"})
    trainer(tmp_path, callback, 3).fit(module, endless(), batches())
    assert module.losses == ["cross_entropy", "jaccard", "jaccard"]

    falling = (f"jaccard @1e-3 x1 {rate}" for rate in ("cosine", "drop", "warmup 3"))
    for second in (*falling, "0.1..1*jaccard + dice @1e-3 x1"):
        schedule = LossSchedule.parse(f"cross_entropy @1e-2 x1 -> {second}")
        module = Module()
        with pytest.raises(UserError, match=rf"no length.*found {re.escape(second)}.*limit_train_batches"):
            trainer(tmp_path, LossScheduleCallback(schedule, PRIOR), 2).fit(module, endless())
        assert not module.seen, "refused before the first step"
        limited = trainer(tmp_path, LossScheduleCallback(schedule, PRIOR), 2, limit_train_batches=2)
        limited.fit(module, endless())
        counted = Module()
        trainer(tmp_path, LossScheduleCallback(schedule, PRIOR), 2).fit(counted, batches())
        assert module.seen == counted.seen


def test_a_phase_waits_for_the_next_validation(tmp_path: Path) -> None:
    waits = "until recall>=0.9 in 1..4"
    line = f"cross_entropy @1e-2 {waits} back <0.3 -> jaccard @1e-3 {waits} -> dice @1e-3 x9"
    callback = LossScheduleCallback(LossSchedule.parse(line), PRIOR, metrics={"recall": "val/recall"})
    # Epochs 1 and 3 are validated, and what epoch 1 measured does not end the second phase after epoch 2.
    module = Module((0.0, 0.95, 0.0, 0.1, 0.95, 0.95))
    trainer(tmp_path, callback, 6, check_val_every_n_epoch=2).fit(module, batches(), batches())
    assert module.losses == ["cross_entropy"] * 2 + ["jaccard"] * 2 + ["cross_entropy"] * 2
    rare = Module((0.95,) * 5)
    trainer(tmp_path, callback, 5, check_val_every_n_epoch=9).fit(rare, batches(), batches())
    assert rare.losses == ["cross_entropy"] * 4 + ["jaccard"], "the most epochs end it"
    often = Module((0.95,) * 2)
    trainer(tmp_path, callback, 2, val_check_interval=1).fit(often, batches(), batches())
    assert often.losses == ["cross_entropy", "jaccard"]


def test_a_fit_without_the_validation_that_phases_wait_for_is_refused(tmp_path: Path) -> None:
    line = "cross_entropy @1e-2 until recall>=0.9 in 1..3 -> jaccard @1e-3 x1"
    names = {"recall": "val/recall"}
    callback = LossScheduleCallback(LossSchedule.parse(line), PRIOR, metrics=names)
    module = Module((0.95,) * 2)
    for loaders, options in (((batches(),), {}), ((batches(), batches()), {"limit_val_batches": 0})):
        with pytest.raises(UserError, match=r"wait for metrics of a validation.*found recall.*metrics= out"):
            trainer(tmp_path, callback, 2, **options).fit(module, *loaders)
    assert not module.seen
    unconditional = LossScheduleCallback(LossSchedule.parse("jaccard @1e-3 x1"), PRIOR, metrics=names)
    trainer(tmp_path, unconditional, 2).fit(module, batches())
    assert module.losses == ["jaccard"] * 2, "nothing waits"


def test_a_checkpoint_of_another_schedule(tmp_path: Path) -> None:
    names, begins = {"recall": "val/recall"}, "cross_entropy @1e-2 until recall>=0.9 in 1..3"

    def callback(line: str, metrics: dict[str, str] | None = names) -> LossScheduleCallback:
        return LossScheduleCallback(LossSchedule.parse(line), PRIOR, metrics=metrics)

    def resumed(path: Path, other: LossScheduleCallback) -> list[str]:
        module = Module((0.95,) * 3)
        fit(tmp_path, module, other, 3, ckpt_path=path, weights_only=False)
        return module.losses

    def saved(first: LossScheduleCallback) -> Path:
        run = trainer(tmp_path, first, 2)
        run.fit(Module((0.1, 0.95)), batches(), batches())
        run.save_checkpoint(tmp_path / "second.ckpt")
        return tmp_path / "second.ckpt"

    path = saved(callback(f"{begins} -> jaccard @1e-3 x1"))
    assert resumed(path, callback(f"{begins} -> dice @1e-3 x2")) == ["dice"], "the same so far"
    with pytest.raises(UserError, match=r"another schedule; found cross_entropy.*jaccard"):
        resumed(path, callback("focal(gamma=2) @1e-2 until recall>=0.9 in 1..3 -> dice @1e-3 x2"))
    # Without metrics, or without a state, the lengths say where an epoch stands.
    assert resumed(path, callback(f"{begins} -> jaccard @1e-3 x1", None)) == ["cross_entropy"]
    plain = saved(callback(f"{begins} -> jaccard @1e-3 x1", None))
    assert resumed(plain, callback("dice @1e-3 x2 -> mcc @1e-3 until recall>=0.9 in 1..3")) == ["mcc"]


def test_a_trainer_without_an_end_stops_where_the_schedule_does(tmp_path: Path) -> None:
    line = "cross_entropy @1e-2 until recall>=0.9 in 1..2 -> jaccard @1e-3 x2"
    callback = LossScheduleCallback(LossSchedule.parse(line), PRIOR, metrics={"recall": "val/recall"})
    module = Module((0.95,) * 9)
    fit(tmp_path, module, callback, -1)
    assert module.losses == ["cross_entropy", "jaccard", "jaccard", "jaccard"], "four epochs at most"


def test_rates_go_by_optimizer_steps_not_by_batches(tmp_path: Path) -> None:
    schedule = LossSchedule.parse("jaccard @1e-2 x2 cosine warmup 2")
    plain, accumulated = Module(), Module()
    fit(tmp_path, plain, LossScheduleCallback(schedule, PRIOR), 2)
    images, masks = batches().dataset[:]
    loader = DataLoader(TensorDataset(images.repeat(2, 1, 1, 1), masks.repeat(2, 1, 1)), batch_size=2)
    run = trainer(tmp_path, LossScheduleCallback(schedule, PRIOR), 2, accumulate_grad_batches=2)
    run.fit(accumulated, loader)
    rates = [rate for _, _, rate, _ in plain.seen]
    assert len(set(rates)) == 3, "half way up, up, and down in two"
    assert [rate for _, _, rate, _ in accumulated.seen] == [rate for rate in rates for _ in range(2)]


class Weighing(Module):
    """Notes the weight of the sum's second term at every batch."""

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        self.weights = [*getattr(self, "weights", []), float(self.criterion.weights[1])]
        return super().training_step(batch, index)


def test_a_ramp_goes_by_optimizer_steps_too(tmp_path: Path) -> None:
    schedule = LossSchedule.parse("cross_entropy + 0..1*dice @1e-2 x2")
    plain, accumulated = Weighing(), Weighing()
    fit(tmp_path, plain, LossScheduleCallback(schedule, PRIOR), 3)
    assert plain.weights == [0, 0.25, 0.5, 0.75, 1, 1]
    images, masks = batches().dataset[:]
    loader = DataLoader(TensorDataset(images.repeat(2, 1, 1, 1), masks.repeat(2, 1, 1)), batch_size=2)
    run = trainer(tmp_path, LossScheduleCallback(schedule, PRIOR), 3, accumulate_grad_batches=2)
    run.fit(accumulated, loader)
    assert accumulated.weights == [weight for weight in plain.weights for _ in range(2)]
