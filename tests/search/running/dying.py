"""A process that kills itself at a chosen moment, as a power cut would."""

from __future__ import annotations

import functools
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any


def die_at(owner: type, method: str, call: int, when: str) -> None:
    """Let this process kill itself at one call of a method."""
    original: Callable[..., Any] = getattr(owner, method)
    calls = Counter[str]()

    @functools.wraps(original)
    def fatal(*args: Any, **kwargs: Any) -> Any:
        calls["made"] += 1
        if calls["made"] == call and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if calls["made"] == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, method, fatal)
