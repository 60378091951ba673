"""A loss as the trainer meets it: one term or a weighted sum of terms over one set of statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lossweep.trainers.losses.mask_values import Lookout
from lossweep.trainers.losses.ramps import RampedSteps, Ramps
from lossweep.trainers.losses.statistics import Needs, statistics
from lossweep.trainers.losses.term import Term
from lossweep.trainers.maps.known import KNOWN_MAPS, maps_of


class Measured(NamedTuple):
    """A loss on a batch.

    Attributes:
        parts: each term's weighted value.
        comparable: of a loss with ramps its value with all of them at their ends, without a gradient: over
            the steps of a phase the loss itself changes by what the ramps do. None for one without.
    """

    parts: dict[str, Tensor]
    comparable: Tensor | None = None


class SegmentationLoss(nn.Module):
    """A weighted sum of terms that share one softmax (one sigmoid for two classes).

    Computes in float32 outside autocast whatever the model's precision (float64 stays float64). Pixels
    labelled 255 count nowhere; when all are, the loss is 0 with a zero gradient.

    Attributes:
        names: of the terms.
        maps: what the terms ask for of what follows from the masks, by the names of `trainers.maps`.
    """

    weights: Tensor

    def __init__(
        self, terms: Sequence[tuple[str, float, Term]], channels: int, ramps: Ramps | None = None
    ) -> None:
        """Sum terms.

        Args:
            terms: name, weight and term of each part; a repeated name gets a number, as in ``focal#2``.
            channels: logit channels expected: 1 for two classes, else one a class.
            ramps: what of the terms and their weights changes within a phase.
        """
        super().__init__()
        self.names = _distinct([name for name, _, _ in terms])
        self.terms = nn.ModuleList(term for _, _, term in terms)
        self.channels = channels
        self._lookout = Lookout(max(2, channels))
        asked = {name for _, _, term in terms for name in term.maps}
        self.maps = tuple(name for name in KNOWN_MAPS if name in asked)
        self.ramps = ramps
        self.needs = Needs(*(any(flags) for flags in zip(*(term.needs for _, _, term in terms), strict=True)))
        self.register_buffer(
            "weights", torch.tensor([weight for _, weight, _ in terms], dtype=torch.float64), persistent=False
        )

    def forward(self, logits: Tensor, target: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the loss of a batch.

        Args:
            logits: (N, K, H, W) of any floating dtype; K = 1 for two classes.
            target: (N, H, W) integer class indices, 255 ignored.
            maps: (N, planes, H, W) by name, those of the attribute ``maps``, as a batch of the trainer has
                them. Those that are missing are computed from the target as if each mask were a whole image,
                on the CPU, which takes some milliseconds an image and waits for a GPU.

        Returns:
            A scalar, float32 (float64 for float64 logits).

        Raises:
            UserError: the target holds a value that is neither a class nor 255. Of masks on a GPU one of the
                next calls tells, once it is known there; compiled code can't.
        """
        # The type: tensors that stand in for others, such as those of tracing, hold no values.
        if target.is_cuda and type(target) is Tensor and not torch.compiler.is_compiling():
            self._lookout.see(target)
        total, *rest = self.parts(logits, target, maps).values()
        for value in rest:
            total = total + value
        return total

    def parts(
        self, logits: Tensor, target: Tensor, maps: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return each term's weighted value; their sum is the loss.

        As `forward`, but masks on a GPU are not looked at: the trainer's own are known from their store.
        """
        return self.measured(logits, target, maps).parts

    def measured(self, logits: Tensor, target: Tensor, maps: Mapping[str, Tensor] | None = None) -> Measured:
        """Return `parts`, and what can be compared over the steps of a phase."""
        if logits.shape[1] != self.channels:
            raise ValueError(f"logits must have {self.channels} channel(s), but got {logits.shape[1]}")
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits if logits.dtype == torch.float64 else logits.float()
            found = statistics(logits, target, self.needs)
            if self.maps:
                found = found._replace(maps=self._of_masks(target, maps or {}))
            weights = self.weights.to(logits.dtype)
            values = [term(found) for term in self.terms]
            comparable = self.ramps.at_their_ends(values, found) if self.ramps else None
            parts = {name: weights[place] * values[place] for place, name in enumerate(self.names)}
            return Measured(parts, comparable)

    def along(self, shares: Sequence[float]) -> RampedSteps:
        """Prepare the ramped parameters of some steps, such as an epoch's, in one transfer to the device.

        Args:
            shares: how much of its phase is over at each step, from 0 to 1.

        Returns:
            What sets them step by step; it does nothing for a loss without ramps.
        """
        found = self.ramps.along(shares) if self.ramps else {}
        buffers = ((self.get_buffer(name), values) for name, values in found.items())
        return RampedSteps(
            tuple((each, values.to(each.device, each.dtype, non_blocking=True)) for each, values in buffers)
        )

    def _of_masks(self, target: Tensor, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        missing = [name for name in self.maps if name not in given]
        computed = maps_of(target, missing, max(2, self.channels)) if missing else {}
        return {name: given[name] if name in given else computed[name] for name in self.maps}


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(distinct)
