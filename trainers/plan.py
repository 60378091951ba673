"""What one trial is to do, as plain data: everything its training follows from. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from lossweep.spaces.losses.terms import Frozen
from lossweep.spaces.metric_names import OwnMetricName
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.spec import DataSpec
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.scoring.objectives import ObjectiveSpec


class ModelSpec(Frozen):
    """Any architecture and encoder of segmentation-models-pytorch, or a user's own model by import path.

    Attributes:
        architecture: an SMP architecture such as ``Unet``, or ``package.module:factory``, which is called
            with ``in_channels``, ``classes`` and ``options``.
        encoder: an SMP or ``tu-`` (timm) encoder.
        weights: pretrained encoder weights, such as ``imagenet``, or None.
        options: further keyword arguments of the architecture.
    """

    architecture: str = "Unet"
    encoder: str = "resnet18"
    weights: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class TrainingSpec(Frozen):
    """How every trial of a sweep trains, whatever its schedule.

    Attributes:
        batch: images of a forward pass.
        optimizer: its learning rate is the schedule's.
        weight_decay: of every parameter.
        momentum: of SGD.
        clip_norm: largest L2 norm of a step's gradient; None clips nothing.
        precision: of the autocast regions; ``auto`` is bfloat16 where the hardware has it, else float16 on
            a GPU and float32 on a CPU. ``tf32`` is float32 whose convolutions and products a GPU multiplies
            with ten bits of mantissa, which torch takes for float32 by default; ``float32`` is exact here.
            Weights and losses are float32 always.
        channels_last: keep the channels of a pixel together in memory, which most convolutions like better.
        compile: ``torch.compile`` the model; some minutes, made up for by long trainings only.
        graphs: launch a pass on an NVIDIA GPU as CUDA graphs instead of operation by operation: True, False,
            or ``auto`` where a short measurement shows that it pays, and never for a model of one's own,
            whose Python would decide once for all passes. Nothing that is computed depends on it.
        accumulate: batches whose gradients make one step.
        evaluate_every: epochs; phase ends are always evaluated.
        threads: of one operation on the CPU; more of them seldom help, and trials side by side suffer.
        deterministic: on a GPU, deterministic kernels where there are some. A CPU has them always.
    """

    batch: int = Field(default=8, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(default=0.01, ge=0.0)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    clip_norm: float | None = Field(default=1.0, gt=0.0)
    precision: Literal["auto", "float32", "tf32", "bfloat16", "float16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    graphs: bool | Literal["auto"] = "auto"
    accumulate: int = Field(default=1, ge=1)
    evaluate_every: int = Field(default=1, ge=1)
    threads: int = Field(default=1, ge=1)
    deterministic: bool = False

    @property
    def step_images(self) -> int:
        """Images of an optimizer step; every step of an epoch has as many."""
        return self.batch * self.accumulate

    @property
    def fewer_a_pass(self) -> tuple[int, ...]:
        """Images of the passes of a step after a lack of memory, by which a trial's micro-batch is halved."""
        return tuple(sorted(set(pass_sizes(self.step_images, max(1, self.batch // 2)))))


class MeasureSpec(Frozen):
    """What an evaluation measures beyond the fixed metrics, and how it counts objects.

    Attributes:
        object_iou: what IoU of a predicted and a true object must exceed to match them.
        minimum_area: pixels below which an object is dropped.
        connectivity: of the pixels of an object.
        precision_floors: for which ``recall_at_precision_P`` is measured.
        recall_floors: for which ``precision_at_recall_R`` is measured.
        betas: for which ``fbeta_B`` is measured.
        own: the user's own metrics, ``package.module:name`` each.
    """

    object_iou: float = Field(default=0.5, ge=0.5, lt=1.0)
    minimum_area: int = Field(default=1, ge=1)
    connectivity: Literal[4, 8] = 8
    precision_floors: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] = ()
    recall_floors: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] = ()
    betas: tuple[Annotated[float, Field(gt=0.0, allow_inf_nan=False)], ...] = ()
    own: tuple[OwnMetricName, ...] = ()


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """One trial. Its training follows from this and the data alone.

    Attributes:
        number: the trial's number in its study.
        seed: of its weights, data order and augmentation.
        schedule: what it trains, with its budget.
        held_out: the objective by which the test split is read at the end, of a confirmation trial; None
            leaves the test split alone.
        micro_batch: images a forward pass; less than ``training.batch`` after running out of memory.
        code: digests of the source of the user's own parts, by import path (`trainers.own_code`); None for
            that of the process that trains.
        branch_epochs: of its first phase, those whose checkpoints stay although the phase goes on: other
            trials may part from it there.
    """

    number: int
    seed: int
    schedule: LossSchedule
    data: DataSpec
    model: ModelSpec
    training: TrainingSpec
    guards: GuardSpec
    measure: MeasureSpec
    held_out: ObjectiveSpec | None = None
    micro_batch: int | None = None
    code: Mapping[str, str] | None = None
    branch_epochs: frozenset[int] = frozenset()

    @property
    def epochs(self) -> int:
        """Its whole budget."""
        return self.schedule.budget

    @property
    def images_a_pass(self) -> int:
        """Most images of one forward pass."""
        return self.micro_batch or self.training.batch

    @property
    def micro_batches(self) -> tuple[int | None, ...]:
        """Those that its attempts may have had: the whole batch, and halved whenever memory ran out."""
        images, found = self.training.batch, {self.micro_batch, None}
        while images > 1:
            images //= 2
            found.add(images)
        return tuple(sorted(found, key=lambda most: -(most or self.training.batch)))

    def halved(self) -> TrialPlan | None:
        """The same trial and effective batch with half the images a pass; None when it has but one."""
        images = self.images_a_pass
        return replace(self, micro_batch=images // 2) if images > 1 else None


def pass_sizes(images: int, most: int) -> tuple[int, ...]:
    """Cut a step's images into the fewest forward passes of at most ``most``, as equal as can be."""
    passes = -(-images // most)
    size, larger = divmod(images, passes)
    return (size + 1,) * larger + (size,) * (passes - larger)
