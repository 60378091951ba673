"""Waiting for a server that is away for a moment."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

R = TypeVar("R")


def waited_for(
    call: Callable[[], R],
    is_passing: Callable[[Exception], bool],
    said: Callable[[Exception], str],
    *,
    what: str,
    back: str,
    longest: float,
    log: logging.Logger,
) -> R:
    """Call again, with growing pauses, while a server does not answer, and say so once.

    Args:
        call: may be repeated.
        is_passing: whether an error says that the server is away for the moment.
        said: an error in one line.
        what: the server, as a warning begins with it.
        back: that it is there, as in ``answers again``.
        longest: seconds; what still fails then is raised.
        log: where the warnings go.
    """
    started: float | None = None
    pause = 0.25
    while True:
        try:
            result = call()
        except Exception as error:
            if not is_passing(error):
                raise
            now = time.monotonic()
            if started is None:
                started = now
                log.warning("%s does not answer; waiting for it (%s).", what, said(error))
            if now - started > longest:
                raise
            time.sleep(pause)
            pause = min(2 * pause, 5.0)
        else:
            if started is not None:
                log.warning("%s %s after %.0f s.", what, back, time.monotonic() - started)
            return result
