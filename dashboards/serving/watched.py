"""Runs a command that ends with whoever holds the other end of its standard input, however that one ends.

Run by its path, as a program of its own between a server and the process that started it: a killed process
runs no code, but its pipes are closed. Nothing of lossweep is imported, so that it starts at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

GRACE = 10.0
"""Seconds that the command has to end by itself."""


def main(command: list[str]) -> int:
    """Run the command in this process's group until it ends, or standard input does; returns its exit code.

    Whoever started this ends it by a signal to the group. SIGTERM is left to the command: this waits for it.
    """
    signal.signal(signal.SIGTERM, _leave_it)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_input, args=(child,), daemon=True).start()
    return child.wait()


def _leave_it(number: int, frame: FrameType | None) -> None:
    """Handled rather than ignored: the command would inherit that it is ignored."""


def _end_with_input(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while child.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)  # the workers of a server, and this process


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
