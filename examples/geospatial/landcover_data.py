"""LandCover.ai as TorchGeo reads it, for `source: import`; others with an image and a mask go likewise.

Needs `pip install torchgeo` (tried with 0.8.1).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchgeo.datasets import LandCoverAI100


class Chips(Dataset[tuple[Tensor, Tensor]]):
    """The samples of a TorchGeo data set as (image, mask): uint8 bands first, and class indices."""

    def __init__(self, samples: LandCoverAI100) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = self._samples[index]
        # TorchGeo widens the JPEGs' bytes to float; as bytes they take a quarter of the room in the cache.
        return sample["image"].to(torch.uint8), sample["mask"]


def splits(root: str, download: bool = False) -> dict[str, Chips]:
    """Return train, val and test; no transforms, for lossweep augments them itself.

    Args:
        root: folder of the data set.
        download: fetch it there when it is missing.
    """
    names = ("train", "val", "test")
    return {name: Chips(LandCoverAI100(root=root, split=name, download=download)) for name in names}
