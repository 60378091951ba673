"""Winner and control looking at the same validation images, from their checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dashboards.overlays import OverlayTile, hits_and_misses, most_telling, tile
from search.history import SweepHistory, TrialHistory
from search.home import Home
from search.plans import plan_of
from search.sweep_spec import SweepSpec

if TYPE_CHECKING:
    from torch import nn

    from trainers.data.batches import Split
    from trainers.data.loading import SegmentationData

WINDOW: Final = 192
"""Pixels a side of what is shown of an image; of a larger one, where the two differ most."""


def validation_tiles(
    history: SweepHistory, spec: SweepSpec, home: Home, most: int = 6
) -> tuple[OverlayTile, ...]:
    """Return the validation images on which winner and control differ most, each at its own tuned threshold.

    Args:
        history: the sweep.
        spec: its file.
        home: where its decoded data and checkpoints lie.
        most: how many images.

    Returns:
        Nothing when winner and control are one, or when a checkpoint of either is gone.
    """
    winner, control = history.winner(), history.control()
    if winner is None or control is None or winner is control:
        return ()
    from trainers.trial import SegmentationTrainer

    data = SegmentationTrainer(spec.data, home.cache, None).data()
    seen = [_predicted(trial, spec, home, data) for trial in (winner, control)]
    if seen[0] is None or seen[1] is None:
        return ()
    names = data.val.names
    tiles = []
    for index, ours in seen[0].items():
        image, mask, found = ours
        theirs = seen[1][index][2]
        part = _window(mask, found, theirs)
        tiles.append(tile(names[index], image[part], mask[part], found[part], theirs[part]))
    return most_telling(tiles, most)


_Seen = tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.uint8]]


def _predicted(
    trial: TrialHistory, spec: SweepSpec, home: Home, data: SegmentationData
) -> dict[int, _Seen] | None:
    """Image (H, W, bands), mask and prediction (H, W) of every validation image, or None without weights."""
    from trainers.checkpoints import CheckpointStore
    from trainers.training import trained_model

    taken = trial.scored
    if taken is None:
        return None
    store = CheckpointStore(home.checkpoints(spec.name))
    model = trained_model(plan_of(spec, trial), data, store, taken.step)
    if model is None:
        return None
    return dict(_look(model, data.val, taken.threshold, spec.training.batch))


def _look(model: nn.Module, split: Split, threshold: float, batch: int) -> Iterator[tuple[int, _Seen]]:
    import torch

    with torch.inference_mode():
        for few in split.evaluation_batches(batch, "cpu"):
            logits = model(few.images)
            # Two classes: the tuned threshold. More: the likeliest class, as the argmax figures count.
            found = logits[:, 0] >= threshold if logits.shape[1] == 1 else logits.max(dim=1).indices
            images = few.images.permute(0, 2, 3, 1).numpy()
            for place, index in enumerate(few.indices):
                height, width = split.sizes[index]
                inside = (slice(height), slice(width))
                mask = few.masks[place].numpy()[inside]
                yield index, (images[place][inside], mask, found[place].numpy()[inside].astype(np.uint8))


def _window(
    mask: NDArray[np.uint8], ours: NDArray[np.uint8], theirs: NDArray[np.uint8]
) -> tuple[slice, slice]:
    """The part of an image where the two predictions' mistakes differ most."""
    from scipy.ndimage import uniform_filter

    wrong = [np.logical_or(*hits_and_misses(mask, seen)[1:]) for seen in (ours, theirs)]
    differing = uniform_filter((wrong[0] != wrong[1]).astype(np.float32), min(WINDOW, *mask.shape))
    y, x = np.unravel_index(int(np.argmax(differing)), mask.shape)
    top, left = (
        int(np.clip(center - WINDOW // 2, 0, max(0, size - WINDOW)))
        for center, size in zip((y, x), mask.shape, strict=True)
    )
    return slice(top, top + WINDOW), slice(left, left + WINDOW)
