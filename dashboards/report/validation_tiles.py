"""The contender (the winner, as a rule) and the control looking at the same validation images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from lossweep.dashboards.report.overlays import OverlayTile, hits_and_misses, tile
from lossweep.search.conducting.plans import plan_of
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.trainers.scoring.operating_points import operating_point

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lossweep.trainers.data.crops.batches import Batch, Split
    from lossweep.trainers.data.loading import SegmentationData
    from lossweep.trainers.loop.passes import PassSize

WINDOW: Final = 192
"""Pixels a side of what is shown of an image; of a larger one, where the two differ most."""

_BATCH: Final = 4


def validation_tiles(
    history: SweepHistory, spec: SweepSpec, workspace: Workspace, most: int = 6, seconds: float = 4.0
) -> tuple[OverlayTile, ...]:
    """Return the validation images on which contender and control differ most, each at its own threshold.

    Args:
        history: the sweep.
        spec: its file.
        workspace: where its decoded data and checkpoints lie.
        most: how many images.
        seconds: how long to look through the split, in its order; what is not reached is not shown. The
            models run on the CPU, for in mid-sweep the GPU's memory belongs to the trials.

    Returns:
        Nothing when there are no two such trials, or when a checkpoint of either is gone.
    """
    winner, control = history.contender(), history.control()
    if winner is None or control is None:
        return ()
    from lossweep.trainers.loop.passes import PassSize
    from lossweep.trainers.trial import SegmentationTrainer

    data = SegmentationTrainer(spec.data, workspace.cache, None).data()
    ours, theirs = (_Seer.of(trial, spec, workspace, data) for trial in (winner, control))
    if ours is None or theirs is None:
        return ()
    best: list[_Seen] = []
    end = time.monotonic() + seconds
    size = PassSize.of(_BATCH, data.val.tile)
    for few in data.val.evaluation_batches(_BATCH, "cpu", size.pixels):
        best = sorted((*best, *_looked_at(few, data.val, ours, theirs, size)), key=_Seen.order)[:most]
        if time.monotonic() > end:
            break
    return tuple(tile(seen.name, seen.image, seen.mask, seen.winner, seen.control) for seen in best)


@dataclass(frozen=True, slots=True)
class _Seer:
    """A trained model with its threshold on logits."""

    model: nn.Module
    threshold: float

    @classmethod
    def of(
        cls, trial: TrialHistory, spec: SweepSpec, workspace: Workspace, data: SegmentationData
    ) -> _Seer | None:
        """The trial as it was when its score was taken, or None without that checkpoint."""
        from lossweep.trainers.loop.checkpoints import CheckpointStore
        from lossweep.trainers.loop.retrieval import trained_model

        taken = trial.scored
        if taken is None:
            return None
        store = CheckpointStore(workspace.checkpoints(spec.name))
        model = trained_model(plan_of(spec, trial), data, store, taken.step)
        return None if model is None else cls(model, operating_point(spec.objective, taken).threshold)

    def sees(self, images: Tensor, size: PassSize) -> NDArray[np.uint8]:
        """Predicted classes (N, H, W) of images (N, bands, H, W)."""
        import torch

        from lossweep.trainers.loop.passes import predicted

        with torch.inference_mode():
            logits = predicted(self.model, images, size)
        # Two classes: the objective's threshold. More: the likeliest class, as the argmax figures count.
        found = logits[:, 0] >= self.threshold if logits.shape[1] == 1 else logits.argmax(dim=1)
        return np.asarray(found.numpy().astype(np.uint8))


@dataclass(frozen=True, slots=True)
class _Seen:
    """The window of an image where the two differ most: image (H, W, bands), masks (H, W)."""

    name: str
    image: NDArray[Any]
    mask: NDArray[np.uint8]
    winner: NDArray[np.uint8]
    control: NDArray[np.uint8]
    differing: int

    def order(self) -> tuple[int, str]:
        """Sorts the most telling first; wins and losses of the winner count alike."""
        return -self.differing, self.name


def _looked_at(few: Batch, split: Split, ours: _Seer, theirs: _Seer, size: PassSize) -> Iterator[_Seen]:
    names = split.names
    images, masks = few.images.permute(0, 2, 3, 1).numpy(), few.masks.numpy()
    winners, controls = ours.sees(few.images, size), theirs.sees(few.images, size)
    for place, index in enumerate(few.indices):
        height, width = split.sizes[index]
        inside = np.s_[:height, :width]
        mask, winner, control = (each[place][inside] for each in (masks, winners, controls))
        part, differing = _window(mask, winner, control)
        image = images[place][inside]
        yield _Seen(
            name=names[index],
            image=image[part].copy(),
            mask=mask[part].copy(),
            winner=winner[part].copy(),
            control=control[part].copy(),
            differing=differing,
        )


def _window(
    mask: NDArray[np.uint8], winner: NDArray[np.uint8], control: NDArray[np.uint8]
) -> tuple[tuple[slice, slice], int]:
    """The part of an image where most pixels are right in one prediction only, and how many they are."""
    from scipy.ndimage import uniform_filter

    wrong = [np.logical_or(*hits_and_misses(mask, seen)[1:]) for seen in (winner, control)]
    one_only = wrong[0] != wrong[1]
    density = uniform_filter(one_only.astype(np.float32), [min(WINDOW, size) for size in mask.shape])
    center = np.unravel_index(int(np.argmax(density)), mask.shape)
    first = [
        int(np.clip(at - WINDOW // 2, 0, max(0, size - WINDOW)))
        for at, size in zip(center, mask.shape, strict=True)
    ]
    part = (slice(first[0], first[0] + WINDOW), slice(first[1], first[1] + WINDOW))
    return part, int(np.count_nonzero(one_only[part]))
