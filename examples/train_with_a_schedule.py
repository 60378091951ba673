"""A schedule in one's own training loop: weighted cross-entropy until recall is high, then Jaccard, twice.

Trains a tiny network on noise with bright squares, in a few seconds: python examples/train_with_a_schedule.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lossweep import ClassPrior, LossSchedule, ScheduledLoss

SCHEDULE = "weighted_ce(power=0.5) @1e-2 until recall>=0.9 in 1..4 -> jaccard @3e-3 x2 | 2 cycles"


def images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, 32, 32) with a bright square each, and masks (N, 32, 32): 1 within it."""
    random = torch.Generator().manual_seed(seed)
    masks = torch.zeros(count, 32, 32, dtype=torch.long)
    for mask in masks:
        row, column = torch.randint(0, 27, (2,), generator=random).tolist()
        mask[row : row + 5, column : column + 5] = 1
    return torch.randn(count, 1, 32, 32, generator=random) + 2.0 * masks[:, None], masks


def recall_and_precision(model: nn.Module, pictures: Tensor, masks: Tensor) -> tuple[float, float]:
    """Return both at a probability of 0.5, over all pixels."""
    with torch.no_grad():
        found = model(pictures)[:, 0] > 0
    hits = int((found & (masks == 1)).sum())
    return hits / int((masks == 1).sum()), hits / max(1, int(found.sum()))


def main() -> None:
    """Train by the schedule, whose phases end by the recall measured here."""
    torch.manual_seed(0)
    pictures, masks = images(64, seed=1)
    unseen = images(32, seed=2)
    share = float((masks == 1).float().mean())
    prior = ClassPrior(names=("background", "square"), frequencies=(1.0 - share, share))

    # From a sweep instead: ScheduledLoss.load("best.yaml")
    scheduled = ScheduledLoss(LossSchedule.parse(SCHEDULE), prior)
    model = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 1, 5, padding=2))
    optimizer = torch.optim.Adam(model.parameters())

    position, epoch = scheduled.start(), 0
    while not position.finished:
        criterion, learning_rate = scheduled.of(position)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        for batch in torch.randperm(len(pictures)).split(8):
            optimizer.zero_grad()
            criterion(model(pictures[batch]), masks[batch]).backward()
            optimizer.step()
        recall, precision = recall_and_precision(model, *unseen)
        epoch += 1
        loss = " + ".join(criterion.names)
        print(f"epoch {epoch}  {loss}  @{learning_rate:g}  recall {recall:.2f}  precision {precision:.2f}")
        position = position.advance({"recall": recall})


if __name__ == "__main__":
    main()
