"""The ramped parameters of a loss: a table of their values for the steps to come, set step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.ramp import fixed, ramps, settled
from lossweep.spaces.losses.terms import WeightedTerm
from lossweep.trainers.losses.statistics import Statistics
from lossweep.trainers.losses.term import build_term


@dataclass(frozen=True, slots=True)
class RampedSteps:
    """What the ramped parameters of a loss are at some steps.

    Attributes:
        tables: a buffer of the loss, and a value for each step on the same device: (steps, *of the buffer).
    """

    tables: tuple[tuple[Tensor, Tensor], ...] = ()

    def set(self, index: int) -> None:
        """Give the loss the parameters of one of the steps, from 0. Nothing waits for the device."""
        for buffer, values in self.tables:
            buffer.copy_(values[index])


class Ramps(nn.Module):
    """What of a loss changes within a phase, whichever terms it has.

    Every parameter of a term is a buffer, so its values along a ramp are those of the same term built without
    one, share by share: a loss at a step is the plain loss with the step's numbers.

    Args:
        parts: the terms of a loss with their weights, some of them ramped.
        prior: the classes and their frequencies.
    """

    ends: Tensor

    def __init__(self, parts: Sequence[WeightedTerm], prior: ClassPrior) -> None:
        super().__init__()
        self._parts, self._prior = tuple(parts), prior
        self._ramped = tuple(place for place, part in enumerate(parts) if any(ramps(part.loss)))
        self.terms = nn.ModuleDict(
            {str(place): build_term(settled(parts[place].loss, 1.0), prior) for place in self._ramped}
        )
        self.register_buffer("ends", self._weights([1.0])[0], persistent=False)
        self._changing = {
            place: _different(self._constants(place, 0.0), self._constants(place, 1.0))
            for place in self._ramped
        }

    def at_their_ends(self, values: Sequence[Tensor], found: Statistics) -> Tensor:
        """Return the loss as it would be with all ramps at their ends: one scale throughout a phase.

        Args:
            values: of the terms at this step, without their weights; the same for what no ramp changes.
            found: the statistics of the batch.
        """
        with torch.no_grad():
            fixed_values = [
                self.terms[str(place)](found) if place in self._ramped else value.detach()
                for place, value in enumerate(values)
            ]
            return (torch.stack(fixed_values) * self.ends.to(found.logits.dtype)).sum()

    def along(self, shares: Sequence[float]) -> Mapping[str, Tensor]:
        """Return what changes along a phase, by the names of buffers of the whole loss.

        Args:
            shares: of the phase, from 0 to 1.

        Returns:
            (shares, *shape of the buffer) float64 on the CPU.
        """
        found = {"weights": self._weights(shares)} if any(ramps(tuple(p.weight for p in self._parts))) else {}
        for place in self._ramped:
            built = [self._constants(place, share) for share in shares]
            for name in self._changing[place]:
                found[f"terms.{place}.{name}"] = torch.stack([constants[name] for constants in built])
        return found

    def _weights(self, shares: Sequence[float]) -> Tensor:
        rows = [[fixed(settled(part, share).weight) for part in self._parts] for share in shares]
        return torch.tensor(rows, dtype=torch.float64)

    def _constants(self, place: int, share: float) -> dict[str, Tensor]:
        term = build_term(settled(self._parts[place].loss, share), self._prior)
        return dict(term.named_buffers())


def _different(first: Mapping[str, Tensor], last: Mapping[str, Tensor]) -> list[str]:
    """The names of what differs: of anything monotonic that differs within a ramp, its ends do."""
    return [name for name in first if not torch.equal(first[name], last[name])]
