"""What masks may hold, class indices and 255: anything else is refused, without waiting for a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError


def all_labelled(values: Tensor, target: Tensor, classes: int) -> bool:
    """Whether no pixel is ignored: asked only where that neither waits for a device nor breaks a graph.

    Args:
        values: the target, or a copy of it in another dtype that is faster to look at.
        target: class indices, 255 ignored.
        classes: how many there are.

    Raises:
        UserError: likewise only there, for a value that is neither a class nor 255.
    """
    if torch.compiler.is_compiling() or target.device.type != "cpu" or not target.numel():
        return False
    low, high = values.aminmax()
    if low >= 0 and high <= IGNORE_INDEX and not target.is_floating_point():
        if high < classes:
            return True
        if (target.to(torch.uint8) + 1).max() <= classes:  # as bytes, 255 comes round to 0
            return False
    check_bounds(bounds(target), classes)
    return bool(high < classes)


def bounds(target: Tensor) -> Tensor:
    """The least and the largest value but 255, and how far from whole numbers values are: (3,) float32."""
    values = target.where(target != IGNORE_INDEX, 0)
    fraction = (values - values.round()).abs().amax() if values.is_floating_point() else values.new_zeros(())
    return torch.stack([*(each.float() for each in values.aminmax()), fraction.float()])


def check_bounds(found: Tensor, classes: int, where: str = "the masks") -> None:
    """Refuse what `bounds` found. Reading it waits for its device.

    Raises:
        UserError: for a value that is neither a class nor 255.
    """
    low, high, fraction = found.tolist()
    if low >= 0 and high < classes and fraction == 0:
        return
    wrong = [f"{low:g}"] if not low >= 0 else []
    wrong += [f"{high:g}"] if not high < classes else []
    raise UserError(
        Problem(
            f"{where} hold values that are no class",
            found=" and ".join(wrong) or "values that are no whole numbers",
            allowed=f"0 to {classes - 1}, and {IGNORE_INDEX} for pixels to ignore",
        )
    )


class Lookout:
    """Looks at the masks of a GPU without waiting for it.

    What a step's masks hold is sent to the host behind the step, and judged by the first call that finds it
    arrived: a step or two later. (`torch._assert_async` would be at once, but end the process without a word
    of why.) While one answer is on its way, those of other steps are gathered on the device.

    Args:
        classes: how many there are.
        send: begins to copy a tensor to the host; returns the copy, and what tells whether it is complete.
    """

    def __init__(
        self, classes: int, send: Callable[[Tensor], tuple[Tensor, Callable[[], bool]]] | None = None
    ) -> None:
        self._classes = classes
        self._send = send or _sent
        self._gathered: Tensor | None = None
        self._under_way: tuple[Tensor, Callable[[], bool]] | None = None

    def __reduce__(self) -> tuple[type[Lookout], tuple[int]]:
        return type(self), (self._classes,)  # events can't be copied, and need not be

    def see(self, target: Tensor) -> None:
        """Look at the masks of a step.

        Raises:
            UserError: those of an earlier step held a value that is neither a class nor 255.
        """
        if self._under_way and self._under_way[1]():
            arrived, self._under_way = self._under_way[0], None
            check_bounds(arrived, self._classes, "the masks of an earlier batch")
        found = bounds(target)
        if self._gathered is not None:
            low = torch.minimum(self._gathered, found)
            found = torch.cat([low[:1], torch.maximum(self._gathered, found)[1:]])
        self._gathered = found
        if self._under_way is None:
            self._under_way, self._gathered = self._send(found), None


def _sent(values: Tensor) -> tuple[Tensor, Callable[[], bool]]:
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's own
    event.record()
    return host, event.query
