"""Training steps on fake tensors of a GPU that need not be there: what mixes devices, and what waits.

Run as a script, in a process of its own: the backend that stands in for a GPU's can't be taken back. Prints
one JSON object: of each step its name, the operators that it launched and what made the host wait.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils import backend_registration

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.crops.cutting import Crops, Flat, Shape, cut
from lossweep.trainers.fake_gpu import WaitWatch, put_stand_ins
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.optimization import Optimization
from lossweep.trainers.losses import RampedSteps, build_loss
from lossweep.trainers.maps.known import KNOWN_MAPS
from lossweep.trainers.plan import TrainingSpec

LOSSES = (
    "cross_entropy",
    "cross_entropy(label_smoothing=0.1)",
    "weighted_ce(power=0.5)",
    "focal(gamma=2)",
    "focal(gamma=2, alpha=0.25)",
    "jaccard",
    "jaccard(reduction=image)",
    "dice",
    "tversky(alpha=0.3, beta=0.7)",
    "focal_tversky",
    "lovasz",
    "lovasz(reduction=image)",
    "mcc",
    "topk_ce",
    "topk_ce(threshold=0.7, reduction=image)",
    "soft_jaccard",
    "cross_entropy + topk_ce + soft_jaccard(reduction=image)",
    "dice + 0.01..1*boundary",
    "skeleton_recall",
    "skeleton_recall(reduction=image)",
    "per_object(jaccard)",
    "per_object(jaccard, way=blobs, reduction=image)",
    "per_object(weighted_ce(power=0.5), inverse_size=true)",
    "per_object(focal(gamma=2..1), way=blobs)",
    "cross_entropy + 0.5*dice",
    "focal(gamma=0..2, alpha=0.2..0.8) + 0.01..1*dice",
    "weighted_ce(power=1..0) + focal_tversky(alpha=cosine(0..1))",
)


@dataclass
class Step:
    """What one step did.

    Attributes:
        operators: launched, views included.
        waits: what the host waited for: reads, copies between host and device, tensors of Python numbers.
        error: as raised; empty when the step went through.
    """

    name: str
    operators: int = 0
    waits: list[str] = field(default_factory=list)
    error: str = ""


class Counting(WaitWatch):
    """Counts a step's operators and names what the host waits for."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self._step = step
        self.waits = step.waits

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = super().__torch_dispatch__(operator, types, args, kwargs)
        self._step.operators += 1
        # A tensor of Python numbers is made on the host and sent from pageable memory.
        if operator.name() == "aten::lift_fresh":
            self.waits.append(f"lift_fresh of {tuple(result.shape)}")
        return result


def steps() -> Iterator[Step]:
    """Every loss on two, three and twelve classes; a crop's cutting; an optimizer's step."""
    device = torch.device("gpu", 0)
    for classes in (2, 3, 12):
        prior = ClassPrior(names=tuple(f"c{i}" for i in range(classes)), frequencies=(1 / classes,) * classes)
        channels = 1 if classes == 2 else classes
        for line in LOSSES:
            step = Step(f"{line}, {classes} classes")
            spec = LossSchedule.parse(f"{line} @1e-3 x1").phases[0].loss
            criterion = build_loss(spec, prior)
            along = criterion.ramps.along([0.0, 0.5]) if criterion.ramps else {}  # once an epoch
            tables = {name: values.shape for name, values in along.items()}
            with watched(step) as counting:
                put_stand_ins(criterion, device)
                logits = torch.empty(8, channels, 64, 64, device=device, requires_grad=True)
                target = torch.empty(8, 64, 64, device=device, dtype=torch.uint8)
                maps = {name: stand_in_map(name, classes, device) for name in criterion.maps}
                ramped = RampedSteps(
                    tuple(
                        (criterion.get_buffer(name), torch.empty(shape, dtype=torch.float64, device=device))
                        for name, shape in tables.items()
                    )
                )
                with counting:
                    ramped.set(1)
                    torch.stack(list(criterion.parts(logits, target, maps).values())).sum().backward()
            yield step
    for exact, inside in ((True, True), (True, False), (False, False)):
        step = Step(f"cut, exact={exact}, inside={inside}")
        with watched(step) as counting:
            whole = torch.empty(96, 2, device=device, dtype=torch.int64)
            real = torch.empty(96, 2, device=device, dtype=torch.float64)
            levels = torch.empty(96, 3, device=device)
            crops = Crops(whole[:, 0], real, real, whole, whole, levels, levels)
            pixels = torch.empty(10_000, 3, device=device, dtype=torch.uint8)
            maps = {
                name: torch.empty(10_000, kind.planes(3), device=device) for name, kind in KNOWN_MAPS.items()
            }
            with counting:
                cut(crops.part(slice(0, 32)), Flat(pixels, pixels[:, 0], maps), Shape(64, exact, inside))
        yield step
    for optimizer in ("adamw", "sgd"):
        step = Step(f"a step of {optimizer}")
        loss = LossSchedule.parse("cross_entropy @1e-3 x1").phases[0].loss
        criterion = build_loss(loss, ClassPrior(names=("a", "b"), frequencies=(0.5, 0.5)))
        model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 1, 1))
        training = TrainingSpec(optimizer=optimizer, precision="float32")
        with watched(step) as counting:
            put_stand_ins(criterion, device)
            put_stand_ins(model, device)
            optimization = Optimization(model, training, Numerics.of(training, device), 4)
            images = torch.empty(8, 3, 64, 64, device=device)
            masks = torch.empty(8, 64, 64, device=device, dtype=torch.uint8)
            optimization.step(images, masks, criterion, 1e-3)  # the first makes the moments
            with counting:
                optimization.step(images, masks, criterion, 1e-3)
        yield step


def stand_in_map(name: str, classes: int, device: torch.device) -> torch.Tensor:
    """A map as a batch of crops has it."""
    kind = KNOWN_MAPS[name]
    kept = np.int16 if kind.dtype == np.int32 and classes == 2 else kind.dtype  # of many objects, int32
    dtype = torch.float32 if kind.is_length else torch.from_numpy(np.zeros(0, kept)).dtype
    return torch.empty(8, kind.planes(classes), 64, 64, device=device, dtype=dtype)


class watched(FakeTensorMode):
    """Fake tensors, and the counting to be switched on inside; an error ends the step, not the run."""

    def __init__(self, step: Step) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self._step = step

    def __enter__(self) -> Any:
        super().__enter__()
        return Counting(self._step)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        super().__exit__(kind, error, trace)
        if isinstance(error, Exception):
            self._step.error = "".join(traceback.format_exception(error)[-6:])
        return isinstance(error, Exception)


def stand_in() -> None:
    """Make ``gpu`` a kind of device, for the rest of this process."""
    backend_registration._setup_privateuseone_for_python_backend("gpu")
    torch.gpu.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]


if __name__ == "__main__":
    stand_in()
    print(json.dumps([asdict(step) for step in steps()]))
