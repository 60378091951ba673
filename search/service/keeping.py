"""A long job: keeps one sweep's driver alive in the cluster.

``python -m lossweep.search.service.keeping REQUEST``: runs the command that drives, and runs it again
when it was lost, which goes on as ``resume`` does. Whether a sweep has a driver is decided by the sweep's
lease alone: a second job for it is refused there, whatever the cluster says of the first.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from lossweep.search.service.answering import USERS_MISTAKE, environment_of, home_problem
from lossweep.search.service.messages import Request

PAUSE_S = 2.0
"""Before a lost driver is started again; twice as long each time."""


class Keeper:
    """Runs a command until it ends by itself.

    Attributes:
        stopping: whether this process was told to end.
    """

    def __init__(
        self,
        command: Sequence[str],
        again: Sequence[str],
        environment: dict[str, str],
        retries: int,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Prepare to run it; see `Request`."""
        self.stopping = False
        self._command, self._again = [*command], [*again]
        self._environment, self._retries = environment, retries
        self._sleep = sleep
        self._process: subprocess.Popen[bytes] | None = None

    def keep(self) -> int:
        """Run it, again after each loss, and return the exit code of its last run."""
        for lost in range(self._retries + 1):
            command = self._command + self._again * (lost > 0)
            self._process = subprocess.Popen(command, env=self._environment, stdin=subprocess.DEVNULL)
            code = self._process.wait()
            if code >= 0 or self.stopping:  # an exit code of its own is its last word
                return code if code >= 0 else 128 - code
            self._say(f"The driver was lost: it was ended by {signal.Signals(-code).name}.")
            if lost < self._retries:
                self._say(f"It is started again, {lost + 1} of at most {self._retries} times.")
                self._sleep(PAUSE_S * 2**lost)
        return 1

    def end(self, number: int, frame: object) -> None:
        """Let the driver end in good order, and do not start it again; a signal handler."""
        self.stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    @staticmethod
    def _say(words: str) -> None:
        print(words, file=sys.stderr, flush=True)


def main() -> None:
    """Keep the driver that the command line asks for."""
    request = Request.decoded(sys.argv[1])
    if refusal := request.unlike() or home_problem(request.home):
        print(refusal, file=sys.stderr, flush=True)
        sys.exit(USERS_MISTAKE)
    command = [sys.executable, "-m", "lossweep", *request.arguments]
    keeper = Keeper(command, request.again, environment_of(request), request.retries)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, keeper.end)
    sys.exit(keeper.keep())


if __name__ == "__main__":
    main()
