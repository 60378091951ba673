"""The maps there are, by name; and their values for masks that come without any."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossweep.spaces.discovery import defined_in
from lossweep.spaces.files.errors import Problem, UserError, nearest
from lossweep.trainers.maps import kinds
from lossweep.trainers.maps.mask_map import MaskMap

KNOWN_MAPS: Final[Mapping[str, MaskMap]] = {
    kind.name: kind()
    for kind in defined_in(kinds, MaskMap)  # type: ignore[type-abstract]  # those it finds are concrete
}
"""By the names that losses ask for them by, in the order of lists."""


def check_known(names: Iterable[str], asked_by: str) -> None:
    """Check that there are maps of these names.

    Raises:
        UserError: naming each that there is not.
    """
    problems = [
        Problem(
            f"{asked_by} asks for a map that there is not",
            key="maps",
            found=name,
            allowed=", ".join(KNOWN_MAPS),
            hint=nearest(name, tuple(KNOWN_MAPS)),
        )
        for name in names
        if name not in KNOWN_MAPS
    ]
    if problems:
        raise UserError(problems)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch's own
def maps_of(target: Tensor, names: Collection[str], classes: int) -> dict[str, Tensor]:
    """Compute maps of the masks of a batch, each mask a whole image.

    On the CPU, image by image: some milliseconds for 512 x 512 pixels, and a device's masks have to be waited
    for. The trainer's own batches have their maps cut from the store's instead.

    Args:
        target: (N, H, W) class indices, 255 ignored.
        names: of the maps.
        classes: how many there are, background included.

    Returns:
        (N, planes, H, W) by name, on the target's device.
    """
    masks = target.detach().to("cpu", torch.uint8).numpy()
    found = {}
    for name in names:
        kind = KNOWN_MAPS[name]
        arrays = [kind.compute(mask, classes) for mask in masks]
        planes = np.stack(arrays) if arrays else np.zeros((*masks.shape, kind.planes(classes)), kind.dtype)
        found[name] = torch.from_numpy(narrowed(planes)).permute(0, 3, 1, 2).to(target.device)
    return found


NARROW: Final = (np.uint8, np.int16)
"""The dtypes of whole numbers that all fit, the narrowest first."""


def narrowest(low: float, high: float) -> type[np.generic]:
    """Return the dtype that holds whole numbers between two; int32 when none of `NARROW` does."""
    fitting = (dtype for dtype in NARROW if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max)
    return next(fitting, np.int32)


def narrowed(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers in the narrowest dtype that holds them; anything else as it is."""
    if values.dtype != np.int32 or not values.size:
        return values
    return values.astype(narrowest(values.min(), values.max()))
