"""What a person wants of a sweep, and what machine it is to run on."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from lossweep.trainers.data.checking.report import DataReport
from lossweep.trainers.scoring.objectives import UseCase

_NEEDLE = 0.002
"""A foreground that covers less than this share of the pixels is a needle in a haystack."""
_MANY = 3.0
"""Objects an image, from which counting them is likely the purpose."""
_SMALL = 0.01
"""Of an image's pixels: objects up to this are told apart rather than outlined."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What trains.

    Attributes:
        cores: of the CPU.
        gpus: that trials may use.
        card: what the first is; None without any.
    """

    cores: int
    gpus: int = 0
    card: str | None = None

    @classmethod
    def here(cls, gpu: bool | None) -> Machine:
        """This machine; without its GPUs when ``gpu`` is False."""
        from lossweep.trainers.gpu import card

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        found = card() if gpu is not False else None
        if found is None:
            return cls(cores)
        import torch

        return cls(cores, torch.cuda.device_count(), found)

    @property
    def slots(self) -> int:
        """Trials that train side by side at least."""
        return self.gpus or min(self.cores, 16)

    def __str__(self) -> str:
        cores = f"{self.cores} core{'s' if self.cores > 1 else ''}"
        return f"{self.gpus} x {self.card}, {cores}" if self.gpus else f"{cores}, no GPU"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person wants.

    Attributes:
        name: of the sweep.
        use_case: what is good.
        hours: that the sweep may take, its confirmation included.
    """

    name: str
    use_case: UseCase
    hours: float


def name_from(folder: str) -> str:
    """Return a sweep's name made of a folder's."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder).strip("-._")[:63].rstrip("-._")
    return name or "sweep"


def likely_use_case(report: DataReport) -> tuple[UseCase, str]:
    """Guess what data are for, and say why."""
    train = report.splits[0]
    foreground = 1.0 - train.fractions[0]
    height, width = train.sizes[len(train.sizes) // 2]
    objects = [each for each in train.objects[1:] if each.count]
    each_image = sum(each.count for each in objects) / max(1, train.images)
    large = max((each.percentiles[-1] for each in objects), default=0.0) / (height * width)
    if len(report.classes) == 2 and foreground < _NEEDLE:
        return "needle", f"the foreground covers {foreground:.2%} of the pixels"
    if len(report.classes) == 2 and each_image >= _MANY and large < _SMALL:
        return "counting", f"an image shows {each_image:.1f} small objects"
    return "balanced", "the data suggest no other"
