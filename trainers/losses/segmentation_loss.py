"""A loss as the trainer meets it: one term or a weighted sum of terms over one set of statistics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lossweep.trainers.losses.mask_values import Lookout
from lossweep.trainers.losses.statistics import Needs, statistics
from lossweep.trainers.losses.term import Term


class SegmentationLoss(nn.Module):
    """A weighted sum of terms that share one softmax (one sigmoid for two classes).

    Computes in float32 outside autocast whatever the model's precision (float64 stays float64). Pixels
    labelled 255 count nowhere; when all are, the loss is 0 with a zero gradient.
    """

    weights: Tensor

    def __init__(self, terms: Sequence[tuple[str, float, Term]], channels: int) -> None:
        """Sum terms.

        Args:
            terms: name, weight and term of each part; a repeated name gets a number, as in ``focal#2``.
            channels: logit channels expected: 1 for two classes, else one a class.
        """
        super().__init__()
        self.names = _distinct([name for name, _, _ in terms])
        self.terms = nn.ModuleList(term for _, _, term in terms)
        self.channels = channels
        self._lookout = Lookout(max(2, channels))
        self.needs = Needs(*(any(flags) for flags in zip(*(term.needs for _, _, term in terms), strict=True)))
        self.register_buffer(
            "weights", torch.tensor([weight for _, weight, _ in terms], dtype=torch.float64), persistent=False
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch.

        Args:
            logits: (N, K, H, W) of any floating dtype; K = 1 for two classes.
            target: (N, H, W) integer class indices, 255 ignored.

        Returns:
            A scalar, float32 (float64 for float64 logits).

        Raises:
            UserError: the target holds a value that is neither a class nor 255. Of masks on a GPU one of the
                next calls tells, once it is known there; compiled code can't.
        """
        # The type: tensors that stand in for others, such as those of tracing, hold no values.
        if target.is_cuda and type(target) is Tensor and not torch.compiler.is_compiling():
            self._lookout.see(target)
        total, *rest = self.parts(logits, target).values()
        for value in rest:
            total = total + value
        return total

    def parts(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return each term's weighted value; their sum is the loss.

        As `forward`, but masks on a GPU are not looked at: the trainer's own are known from their store.
        """
        if logits.shape[1] != self.channels:
            raise ValueError(f"logits must have {self.channels} channel(s), but got {logits.shape[1]}")
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits if logits.dtype == torch.float64 else logits.float()
            found = statistics(logits, target, self.needs)
            weights = self.weights.to(logits.dtype)
            return {
                name: weights[place] * term(found)
                for place, (name, term) in enumerate(zip(self.names, self.terms, strict=True))
            }


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(distinct)
