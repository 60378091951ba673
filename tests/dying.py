"""Processes that kill themselves at a chosen moment, as a power cut would."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

SLOW_TO_IMPORT = ["pytest", "lossweep.search.running.driver", "lossweep.trainers.loop.training"]


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


def run_until_killed(
    target: Callable[..., None], *args: object, by: signal.Signals = signal.SIGKILL, patience: float = 300.0
) -> None:
    """Run what has to be ended by a signal, in a process of its own.

    That process is no fork of this one: torch trains in none whose parent has trained, and in a fork of a
    process with threads any lock may be held forever. It is one of a server's that has imported what is slow
    to import and run nothing, so it costs no more than a fork.

    Args:
        target: a function of a module, since the other process finds it by its name.
        args: its arguments, pickled.
        by: the signal.
        patience: the longest that it may take, in seconds.
    """
    fresh = multiprocessing.get_context("forkserver")
    fresh.set_forkserver_preload(SLOW_TO_IMPORT)
    child = fresh.Process(target=target, args=args)
    child.start()
    child.join(patience)
    ended = child.exitcode
    child.kill()
    child.join()
    assert ended == -by, f"it was to be ended by {by.name}: {ended}"
