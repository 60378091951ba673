"""The examples in others' loops train as lossweep does: the same loss at every step on the same batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

from lossweep.trainers.callbacks import LossScheduleCallback, LossScheduleTrainerCallback
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.loop.optimization import Optimization, StepTensors
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import TrainingSpec, TrialPlan

pytestmark = pytest.mark.filterwarnings("ignore")
EPOCHS = 4
LINE = (
    "weighted_ce(power=0.5) @1e-2 x1 warmup 2 -> 0.2..1*jaccard + cross_entropy @3e-3 x2 cosine fresh"
    " -> dice @1e-3 x1"
)
"""A warm-up, a falling rate, a ramp, moments cleared and moments kept."""


@dataclass
class Trained:
    """What lossweep's own trainer did.

    Attributes:
        model: before the first step.
        batches: images and masks, in order.
        losses: of each step.
    """

    model: nn.Module | None = None
    batches: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


class Replayed:
    """A loader of these batches, epoch by epoch."""

    def __init__(self, batches: list[Any]) -> None:
        self._steps = len(batches) // EPOCHS
        self._epochs = [batches[start : start + self._steps] for start in range(0, len(batches), self._steps)]
        self._epoch = 0

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Any]:
        self._epoch += 1  # once something is asked for: Lightning makes an iterator too many
        yield from self._epochs[self._epoch - 1]


@pytest.fixture(scope="module")
def plan(plan_of: Callable[..., TrialPlan]) -> TrialPlan:
    return plan_of(LINE, EPOCHS, training=TrainingSpec(batch=4, precision="float32"))


@pytest.fixture(scope="module")
def ours(plan: TrialPlan, scenes: SegmentationData) -> Trained:
    found = Trained()
    step = Optimization.step

    def stepping(self: Optimization, images: Tensor, masks: Tensor, *rest: Any, **named: Any) -> StepTensors:
        if found.model is None:
            found.model = copy.deepcopy(self.model)
        found.batches.append((images, masks))
        taken = step(self, images, masks, *rest, **named)
        found.losses.append(sum(part.item() for part in taken.parts.values()))
        return taken

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Optimization, "step", stepping)
        list(train(plan, scenes))
    assert len(found.losses) == EPOCHS * 3
    assert len(set(found.losses)) == len(found.losses)
    return found


@pytest.fixture(autouse=True)
def _examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "examples"))


def test_in_lightning(plan: TrialPlan, scenes: SegmentationData, ours: Trained, tmp_path: Path) -> None:
    from train_in_lightning import Segmentation

    losses: list[float] = []

    class Noting(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
            losses.append(outputs["loss"].item())

    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        gradient_clip_val=1.0,
        callbacks=[LossScheduleCallback(plan.schedule, scenes.prior), Noting()],
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Segmentation(copy.deepcopy(ours.model)), Replayed(ours.batches))
    assert losses == pytest.approx(ours.losses, rel=1e-6)


def test_in_hugging_faces_trainer(
    plan: TrialPlan, scenes: SegmentationData, ours: Trained, tmp_path: Path
) -> None:
    from train_in_hugging_face import Network

    losses: list[float] = []
    schedule = LossScheduleTrainerCallback(plan.schedule, scenes.prior)

    def noting(*given: Any, **named: Any) -> Tensor:
        loss = schedule.compute_loss(*given, **named)
        losses.append(loss.item())
        return loss

    class Replaying(Trainer):
        def get_train_dataloader(self) -> Any:
            return Replayed(
                [{"pixel_values": images, "labels": masks.long()} for images, masks in ours.batches]
            )

    model = Network(copy.deepcopy(ours.model))
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        num_train_epochs=EPOCHS,
        lr_scheduler_type="constant",
        label_names=["labels"],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    # The library's own AdamW leaves biases out of the weight decay.
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=plan.training.weight_decay, fused=True)
    trainer = Replaying(
        model, arguments, compute_loss_func=noting, callbacks=[schedule], optimizers=(optimizer, None),
        train_dataset=[0],
    )  # fmt: skip
    trainer.train()
    assert losses == pytest.approx(ours.losses, rel=1e-6)
