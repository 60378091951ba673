"""The wish to stop a sweep: from Ctrl-C, SIGTERM, ``lossweep stop`` or a full disk."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from lossweep.search.study.sweep_state import StopKind

log = logging.getLogger(__name__)


class StopRequest:
    """Somebody wants the sweep to stop. Set from signal handlers and other threads.

    Attributes:
        kind: who or what wants it, None until then.
        reason: the same as one line for people, empty until then.
    """

    def __init__(self, signals: bool = False) -> None:
        """Listen to SIGINT and SIGTERM from `install` on, if ``signals``."""
        self.kind: StopKind | None = None
        self.reason = ""
        self._event = threading.Event()
        self._signals = signals
        self._before: dict[signal.Signals, Any] = {}

    def set(self, reason: str, kind: StopKind = StopKind.CALLER) -> None:
        """Ask for a stop at the next evaluations; the first request stays."""
        if not self._event.is_set():
            self.kind, self.reason = kind, reason
            self._event.set()

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def install(self) -> None:
        """Handle Ctrl-C and SIGTERM from now on; called again after libraries put their own handlers there.

        The first signal asks for a stop; the next raises `KeyboardInterrupt` at once.
        """
        if not self._signals or threading.current_thread() is not threading.main_thread():
            return
        for one in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(one, self._handler(one))
            self._before.setdefault(one, before)

    def uninstall(self) -> None:
        """Put the handlers back that were there before."""
        while self._before:
            one, before = self._before.popitem()
            signal.signal(one, before if before is not None else signal.SIG_DFL)

    def _handler(self, one: signal.Signals) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if self._event.is_set():
                raise KeyboardInterrupt
            # Only flags here: a handler may have interrupted a write.
            who = "Ctrl-C" if one is signal.SIGINT else "SIGTERM"
            self.set(f"interrupted by {who}", StopKind.SIGNAL)

        return handle
