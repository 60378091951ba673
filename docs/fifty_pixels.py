"""Draws the case of fifty pixels for docs/losses.md: which of two mistakes each loss minds more.

    python docs/fifty_pixels.py

The truth is one object of 50 pixels and 50 objects of one pixel. One prediction finds the large object alone,
the other the small ones alone: either is wrong in 50 pixels. Needs matplotlib, which MLflow brings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.one_line import loss_text
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.losses import build_loss

OUT: Final = Path(__file__).parent / "losses-fifty-pixels.png"
SIZE: Final = (32, 64)
CONFIDENT: Final = 6.0
"""Logit of what a prediction is sure of."""
PRIOR: Final = ClassPrior(names=("ground", "car"), frequencies=(0.95, 0.05))
LOSSES: Final = (
    "cross_entropy",
    "jaccard",
    "per_object(jaccard)",
    "per_object(jaccard(smooth=0.01))",
    "per_object(jaccard, way=blobs)",
)
GROUND, SEEN, MISSED = "#f1f1ee", "#332288", "#cc6677"
Mask = NDArray[np.bool_]


def scene() -> tuple[Mask, Mask]:
    """Return the large object, and the small ones (height, width)."""
    large, small = np.zeros((2, *SIZE), bool)
    large[13:18, 6:16] = True
    small[3:31:6, 24:64:4] = True
    return large, small


def costs() -> dict[str, tuple[float, float]]:
    """Return what each loss is when only the large object is found, and when only the small ones are."""
    large, small = scene()
    truth = torch.from_numpy(large | small).long()[None]
    found = {}
    for line in LOSSES:
        loss = LossSchedule.parse(f"{line} @1e-3 x1").phases[0].loss
        criterion = build_loss(loss, PRIOR)
        values = []
        for predicted in (large, small):
            logits = torch.where(torch.from_numpy(predicted), CONFIDENT, -CONFIDENT)[None, None]
            values.append(float(criterion(logits, truth)))
        found[loss_text(loss)] = (values[0], values[1])
    return found


def draw() -> None:
    """Write the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.colors import ListedColormap

    large, small = scene()
    figure = plt.figure(figsize=(9.6, 3.9), dpi=110, layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1.0, 1.35))
    titles = "found: the object of 50 pixels", "found: the 50 objects of one pixel"
    for row, (title, seen) in enumerate(zip(titles, (large, small), strict=True)):
        axes = figure.add_subplot(grid[row, 0])
        shades = np.where(seen, 1, np.where(large | small, 2, 0))
        axes.imshow(shades, cmap=ListedColormap([GROUND, SEEN, MISSED]), vmin=0, vmax=2)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xticks([])
        axes.set_yticks([])
    axes = figure.add_subplot(grid[:, 1])
    places = np.arange(len(LOSSES))[::-1]
    for shift, column, colour, label in ((0.19, 0, "#332288", titles[0]), (-0.19, 1, "#44aa99", titles[1])):
        values = [pair[column] for pair in costs().values()]
        bars = axes.barh(places + shift, values, 0.36, color=colour, label=label)
        axes.bar_label(bars, fmt="%.3f", fontsize=9, padding=3)
    axes.set_yticks(places, list(costs()), fontsize=9)
    axes.set_xlim(0.0, 1.05)
    axes.set_xlabel("loss: what is lower is preferred", fontsize=9)
    axes.legend(fontsize=9, loc="lower center", bbox_to_anchor=(0.3, 1.0), ncols=1, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(OUT, metadata={"Software": None})


if __name__ == "__main__":
    draw()
    for line, (first, second) in costs().items():
        print(f"{line}: {first:.3f}, {second:.3f}")
