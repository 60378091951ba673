"""Which GPUs a process may see. No torch here: it is said before torch looks."""

from __future__ import annotations

import os
from typing import Final

_HIDDEN: Final = "LOSSWEEP_GPUS_HIDDEN"
"""Apple's GPU has no variable of its own to be hidden by."""


def hide_gpus() -> None:
    """Let this process see no GPU; to be called before CUDA is asked for anything.

    Ray gives a worker that holds no GPU the sight of all of them.
    """
    os.environ.update(dict.fromkeys(("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"), ""))
    os.environ[_HIDDEN] = "1"


def gpus_hidden() -> bool:
    """Whether this process is to see no GPU, of whichever make."""
    return bool(os.environ.get(_HIDDEN))
