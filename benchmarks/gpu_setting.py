"""What the sections of `gpu` run on: the device, and how much of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch

from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.spec import DataSpec, ScenesSource
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan

LOSSES: Final[tuple[str, ...]] = (
    "cross_entropy",
    "weighted_ce(power=0.5)",
    "focal(gamma=2)",
    "jaccard",
    "dice",
    "tversky(alpha=0.3, beta=0.7)",
    "focal_tversky",
    "lovasz",
    "lovasz(reduction=image)",
    "mcc",
    "topk_ce",
    "soft_jaccard",
    *(["skeleton_recall"] if find_spec("skimage") else []),
    "cross_entropy + 0.01*boundary",
    "per_object(jaccard)",
    "cross_entropy + 0.5*dice",
)
"""Every known term, and sums of some; no bare machine has what draws skeletons."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a section runs, and how large.

    Attributes:
        device: the GPU, or in a rehearsal the CPU.
        tile: side of a crop.
        encoder: of the U-Net.
        batches: batch sizes whose speed is measured.
        steps: of an epoch.
    """

    device: torch.device
    tile: int
    encoder: str
    batches: tuple[int, ...]
    steps: int

    @classmethod
    def of(cls, rehearse: bool) -> Setting:
        """The whole, or the rehearsal."""
        if rehearse:
            torch.set_num_threads(1)
            return cls(torch.device("cpu"), 64, "tu-test_resnet", (2, 4), 2)
        return cls(torch.device("cuda", 0), 256, "resnet18", (8, 32, 128), 60)

    @property
    def on_gpu(self) -> bool:
        """Whether there is one."""
        return self.device.type == "cuda"

    @property
    def small_batch(self) -> int:
        """The batch whose passes wait for launches."""
        return self.batches[0]

    @property
    def model(self) -> ModelSpec:
        """The U-Net."""
        small = {"encoder_depth": 3, "decoder_channels": (16, 8, 8)}
        return ModelSpec(encoder=self.encoder, options={} if self.on_gpu else small)

    def scenes(self, crops: int, classes: int = 2, **changes: object) -> ScenesSource:
        """Scenes whose epoch has that many crops."""
        count = min(crops, 128 if self.on_gpu else 8)
        named = {"classes": ("background", "vehicle", "truck")[:classes], "tile": self.tile}
        sizes = {"train": count, "val": 2, "test": 1, "crops": -(-crops // count)}
        return ScenesSource.model_validate({"source": "scenes", **named, **sizes, **changes})

    def plan(self, line: str, epochs: int, batch: int, data: DataSpec, **training: object) -> TrialPlan:
        """A trial of one schedule."""
        return TrialPlan(
            number=0,
            seed=0,
            schedule=LossSchedule.parse(line).with_budget(epochs),
            data=data,
            model=self.model,
            training=TrainingSpec.model_validate({"batch": batch, "evaluate_every": epochs, **training}),
            guards=GuardSpec(),
            measure=MeasureSpec(),
        )

    def wait(self) -> None:
        """Wait for the device."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object], times: int = 5) -> float:
        """The least of several times, after one that warms up."""
        work()
        found = []
        for _ in range(times):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            found.append(time.perf_counter() - began)
        return min(found)


@cache
def loaded(spec: ScenesSource) -> SegmentationData:
    """The scenes, drawn once a machine and loaded once a process."""
    return load_data(spec, Path(tempfile.gettempdir()) / "lossweep-gpu-cache")


def scratch(name: str) -> Path:
    """A new folder for a section's files."""
    return Path(tempfile.mkdtemp(prefix=f"lossweep-gpu-{name}-"))
