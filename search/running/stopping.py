"""The wish to stop a sweep: from Ctrl-C or another signal, ``lossweep stop`` or a full disk."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from enum import IntEnum
from types import FrameType
from typing import Any, Final

from lossweep.search.study.sweep_state import StopKind

log = logging.getLogger(__name__)

SIGNALS: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
"""By what people, closing terminals and batch systems end a process, unless it listens."""

EXIT_CODE: Final = 130
"""Of every command that a signal interrupted, whichever signal it was."""


class Patience(IntEnum):
    """How many requests to stop it takes until one interrupts what runs, with `KeyboardInterrupt`."""

    NONE = 1
    """Nothing is under way that would be lost."""
    TO_FINISH = 2
    """The first lets running evaluations finish."""
    TO_WRITE = 5
    """The end of the sweep is being written: a matter of moments, unless the database is away."""


class StopRequest:
    """Somebody wants the sweep to stop. Set from signal handlers and other threads.

    Attributes:
        kind: who or what wants it, None until then.
        reason: the same as one line for people, empty until then.
        interrupted: a signal did not wait, and raised `KeyboardInterrupt`, whatever libraries made of that.
    """

    def __init__(self, signals: bool = False) -> None:
        """Listen to `SIGNALS` from `install` on, if ``signals``."""
        self.kind: StopKind | None = None
        self.reason = ""
        self.interrupted = False
        self._event = threading.Event()
        self._signals = signals
        self._patience = Patience.NONE
        self._requests = 0
        self._before: dict[signal.Signals, Any] = {}

    def set(self, reason: str, kind: StopKind = StopKind.CALLER) -> None:
        """Ask for a stop at the next evaluations; the first request stays."""
        self._requests += 1
        if not self._event.is_set():
            self.kind, self.reason = kind, reason
            self._event.set()

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    @contextlib.contextmanager
    def patient(self, patience: Patience) -> Iterator[None]:
        """Let signals wait, or not, for what runs in the ``with`` block."""
        before, self._patience = self._patience, patience
        try:
            yield
        finally:
            self._patience = before

    def install(self) -> None:
        """Handle `SIGNALS` from now on, as `Patience` says."""
        if not self._signals or threading.current_thread() is not threading.main_thread():
            return
        for one in SIGNALS:
            if is_wanted(one):
                self._before[one] = signal.signal(one, self._handler(one))

    def uninstall(self) -> None:
        """Put the handlers back that were there before."""
        while self._before:
            one, before = self._before.popitem()
            signal.signal(one, before if before is not None else signal.SIG_DFL)

    def _handler(self, one: signal.Signals) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            # Only flags here: a handler may have interrupted a write.
            self.set(f"interrupted by {name_of(one)}", StopKind.SIGNAL)
            if self._requests >= self._patience:
                self.interrupted = True
                raise KeyboardInterrupt

        return handle


def name_of(number: int) -> str:
    """What people call a signal."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def is_wanted(one: signal.Signals) -> bool:
    """Whether a signal is to be heard: one that this process was started to ignore, as by ``nohup``, is not.

    Shells let background processes ignore Ctrl-C alone; whoever sends that signal to one by its id means it.
    """
    return one is signal.SIGINT or signal.getsignal(one) is not signal.SIG_IGN


def interrupt_on_signals() -> list[str]:
    """Let every signal end this process as Ctrl-C does: with `KeyboardInterrupt`, so that it can clean up.

    Returns:
        A list that fills with the signals that come: some libraries make other errors of the interruption.
    """
    heard: list[str] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        heard.append(name_of(number))
        raise KeyboardInterrupt

    for one in SIGNALS:
        if is_wanted(one):
            signal.signal(one, interrupt)
    return heard
