"""Losses as their authors published them, for `benchmarks/losses.py`: what MONAI and SMP lack.

Each is shortened to the settings that are raced, on masks that ignore no pixel, and keeps what it computes
and how. Two classes are one foreground channel here, where theirs are two: half of what they have to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]
Maps = Mapping[str, Tensor]


def total(first: Step, second: Step) -> Step:
    """The sum of two losses, each by itself."""
    return lambda logits, mask: first(logits, mask) + second(logits, mask)


def topk(logits: Tensor, mask: Tensor) -> Tensor:
    """`TopKLoss` of nnU-Net (nnunetv2/training/loss/robust_ce_loss.py, Apache 2.0), k = 10 %."""
    if logits.shape[1] == 1:
        each = F.binary_cross_entropy_with_logits(logits[:, 0], mask.float(), reduction="none")
    else:
        each = F.cross_entropy(logits, mask, reduction="none", ignore_index=255)
    hardest, _ = torch.topk(each.view(-1), int(each.numel() * 0.1), sorted=False)
    return hardest.mean()


def soft_jaccard(logits: Tensor, mask: Tensor, smoothing: float = 0.1) -> Tensor:
    """`JDTLoss` of Wang et al. (github.com/zifuwanggg/JDTLosses, Apache 2.0) on labels smoothed for it."""
    classes = max(2, logits.shape[1])
    if logits.shape[1] == 1:
        prob = logits.sigmoid().flatten(2)
        label = (mask[:, None].float() * (1 - smoothing) + smoothing / classes).flatten(2)
    else:
        prob = logits.flatten(2).log_softmax(1).exp()
        label = F.one_hot(mask, classes).movedim(-1, 1).float().mul_(1 - smoothing).add_(smoothing / classes)
        label = label.flatten(2)
    prob_card, label_card = torch.norm(prob, p=1, dim=2), torch.norm(label, p=1, dim=2)
    tp = (prob_card + label_card - torch.norm(prob - label, p=1, dim=2)) / 2
    tp, fp, fn = (each.sum(0) for each in (tp, prob_card - tp, label_card - tp))
    return (1 - (tp + 1.0) / (tp + fp + fn + 1.0)).mean()


def boundary(maps: Maps) -> Step:
    """`SurfaceLoss` of Kervadec et al. (github.com/LIVIAETS/boundary-loss, MIT), distances given."""
    distances = maps["signed_distance"]

    def loss(logits: Tensor, mask: Tensor) -> Tensor:
        foreground = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)[:, 1:]
        return torch.einsum("bkwh,bkwh->bkwh", foreground, distances).mean()

    return loss


def skeleton_recall(maps: Maps) -> Step:
    """`SoftSkeletonRecallLoss` of github.com/MIC-DKFZ/Skeleton-Recall (Apache 2.0), skeletons given."""
    skeletons = maps["skeletons"]

    def loss(logits: Tensor, mask: Tensor) -> Tensor:
        foreground = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)[:, 1:]
        with torch.no_grad():
            one_hot = torch.zeros(
                (len(mask), foreground.shape[1] + 1, *mask.shape[1:]), device=mask.device, dtype=torch.bool
            )
            one_hot.scatter_(1, skeletons.long(), 1)
            one_hot = one_hot[:, 1:]
            sizes = one_hot.sum((2, 3)).sum(0)
        found = (foreground * one_hot).sum((2, 3)).sum(0)
        return -((found + 1e-5) / torch.clip(sizes + 1e-5, 1e-8)).mean()

    return loss


def per_object(numbers: Tensor, all_background: bool) -> Step:
    """Jaccard by component: `compute_blob_loss_multi` (github.com/neuronflow/blob_loss), CC-DiceCE likewise.

    Both loop over images and components, and mask what a component is not judged by. Components are given:
    theirs are computed anew in every step.

    Args:
        numbers: (N, H, W) of cells, or with ``all_background`` of components, 0 in the background.
        all_background: a component is judged with all of it.
    """

    def loss(logits: Tensor, mask: Tensor) -> Tensor:
        images = []
        for p, truth, number in zip(logits[:, 0].sigmoid(), mask.float(), numbers, strict=True):
            values = []
            for one in number.unique():
                if one == 0:
                    continue
                judged = (number == one) | (number == 0) if all_background else number == one
                q, y = p * judged, truth * (number == one)
                overlap = (q * y).sum()
                values.append(1 - (overlap + 1.0) / (q.sum() + y.sum() - overlap + 1.0))
            images.append(torch.stack(values).mean())
        return torch.stack(images).mean()

    return loss
