"""Sums of pixels over the objects of each class: what per-object losses are made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lossweep.spaces.losses.families.per_object import Way
from lossweep.trainers.losses.statistics import Statistics


class Sides(NamedTuple):
    """Sums over what each object is judged by: N images, C foreground classes, S numbers of objects.

    Number 0 is the rest: pixels that no object of the image is judged with. It has none of its own.

    Attributes:
        own: (N, C, S) over the object's pixels.
        other: (N, C, S) over the others that it is judged with.
    """

    own: Tensor
    other: Tensor


class Table(NamedTuple):
    """Where pixels are summed.

    Attributes:
        places: (N, C, P) of each pixel for each class.
        width: how many places there are.
        in_cells: whether places come in pairs, for a cell's other pixels and for the object's; else place 0
            is for all pixels of other classes.
    """

    places: Tensor
    width: int
    in_cells: bool

    @classmethod
    def of(cls, found: Statistics, way: Way) -> Table:
        """Lay a table out by the batch's maps, ``cells`` or ``components``."""
        assert found.maps is not None  # a term that asks for maps gets them
        in_cells = way == "cells"
        numbers, most = _numbered(found.maps["cells" if in_cells else "components"].flatten(2))
        member = members(found).flatten(2)
        if in_cells:
            return cls(2 * numbers + member, 2 * most, in_cells)
        return cls(numbers * member, most, in_cells)

    def sums(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Sum pixels (N, H, W), the same for all classes, or (N, C, H, W).

        Returns:
            The objects' own (N, C, S), and the others: (N, C, S), or (N, C, 1) that all objects share.
        """
        if values.ndim == 3:
            values = values.unsqueeze(1)
        own, other = _Sums.apply(values.flatten(2).expand(self.places.shape), *self)
        return own, other

    def with_rest(self, other: Tensor, hidden: Tensor) -> Tensor:
        """Return the others (N, C, S), the rest as number 0. ``hidden`` is 1 where no object shows."""
        if self.in_cells:
            return torch.cat([(other * hidden).sum(2, keepdim=True), other[..., 1:]], 2)
        rest = other * hidden.amin(2, keepdim=True)
        return torch.cat([rest, other.expand(-1, -1, self.width - 1)], 2)


class Objects(NamedTuple):
    """The objects of a batch.

    An object counts when it shows a labelled pixel. The rest, where none does, counts as one object without
    pixels of its own: a tile without objects, or the cells of those that a crop has cut away.

    Attributes:
        table: where their pixels are summed.
        hidden: (N, C, S) 1 for numbers of which no object shows, else 0.
        pixels: labelled ones.
        counts: (N, C, S) 1 for those that count, else 0.
    """

    table: Table
    hidden: Tensor
    pixels: Sides
    counts: Tensor

    @classmethod
    def of(cls, found: Statistics, way: Way) -> Objects:
        """Find the objects of a batch."""
        table = Table.of(found, way)
        own, other = table.sums(found.labelled)
        hidden = (own == 0).to(own.dtype)
        other = table.with_rest(other, hidden)
        counts = torch.cat([other[..., :1] > 0, own[..., 1:] > 0], 2).to(own.dtype)
        return cls(table, hidden, Sides(own, other), counts)

    def sums(self, values: Tensor) -> Sides:
        """Sum pixels (N, H, W), the same for all classes, or (N, C, H, W); ignored ones must be 0."""
        own, other = self.table.sums(values)
        return Sides(own, self.table.with_rest(other, self.hidden))


def members(found: Statistics) -> Tensor:
    """Whether a pixel is of each foreground class: (N, C, H, W) bool, False where ignored."""
    if found.is_binary:
        return (found.labels > 0).unsqueeze(1)
    classes = torch.arange(1, found.logits.shape[1], device=found.labels.device)
    return found.labels.unsqueeze(1) == classes[:, None, None]


def _numbered(numbers: Tensor) -> tuple[Tensor, int]:
    """Numbers (N, planes, P) as int64 below a bound which nothing that is on a device decides.

    Maps are narrow where their numbers are small. Where an image has more than 32,767 objects, those of a
    crop are numbered anew: there are no more than it has pixels.
    """
    if numbers.device.type == "cpu" and not torch.compiler.is_compiling():
        return numbers.long(), max(2, int(numbers.max()) + 1 if numbers.numel() else 0)
    if numbers.dtype in (torch.uint8, torch.int16):
        return numbers.long(), torch.iinfo(numbers.dtype).max + 1
    return renumbered(numbers), numbers.shape[2] + 1


def renumbered(numbers: Tensor) -> Tensor:
    """Numbers (N, planes, P) counted from 1 in the order of those that occur; 0 stays 0."""
    ordered, order = numbers.sort(dim=2)
    new = torch.ones_like(ordered)
    new[..., 1:] = (ordered[..., 1:] != ordered[..., :-1]).to(new.dtype)
    new = torch.where(ordered == 0, 0, new)
    return torch.empty_like(order).scatter_(2, order, new.cumsum(2))


class _Sums(torch.autograd.Function):
    """Values (N, C, P) summed by their place, as `Table.sums` returns them.

    In float64: one running sum in float32 would lose the small values of a large object.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, places: Tensor, width: int, in_cells: bool
    ) -> tuple[Tensor, Tensor]:
        """See the class."""
        ctx.save_for_backward(places)
        ctx.in_cells = in_cells
        table = values.new_zeros((*places.shape[:2], width), dtype=torch.float64)
        table = table.scatter_add_(2, places, values.double()).to(values.dtype)
        if in_cells:
            return table[..., 1::2], table[..., ::2]
        return nn.functional.pad(table[..., 1:], (1, 0)), table[..., :1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """See the class."""
        (places,) = ctx.saved_tensors
        own, other = grads
        if ctx.in_cells:
            table = torch.stack([other, own], 3).flatten(2)
        else:
            table = torch.cat([other, own[..., 1:]], 2)
        return table.gather(2, places), None, None, None
