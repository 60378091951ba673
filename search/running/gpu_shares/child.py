"""A process that trains beside others for some seconds, to see how many share a GPU well.

``python -m lossweep.search.running.gpu_shares.child SOCKET``: the descriptor of a socket to who started it.
It is sent a `Trial`, says that it is ready, and is then asked for rounds: it gets the share of a GPU that it
is held to, says when its first steps are done, trains on when it is told to, and answers with a `Pace`, with
`Short`, or with what went wrong in words.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection

from lossweep.search.running.gpu_shares.messages import READY, Pace, Short, Trial


def main() -> None:
    """Answer rounds until the socket is closed."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    connection = Connection(descriptor)
    try:
        trial: Trial = connection.recv()
        trial.trainer.prepare()
        connection.send(READY)
        while True:
            share: float = connection.recv()
            connection.send(_round(trial, share, connection))
    except (EOFError, ConnectionError):
        return


def _round(trial: Trial, share: float, connection: Connection) -> object:
    from lossweep.trainers.gpu_errors import is_out_of_memory
    from lossweep.trainers.loop.training import OutOfMemory
    from lossweep.trainers.pace import pace

    def begin() -> None:
        connection.send(READY)
        connection.recv()

    try:
        return Pace(*pace(trial.plan, trial.trainer.data(), share, trial.seconds, begin))
    except (EOFError, ConnectionError):
        raise
    except Exception as error:  # a user's model may raise anything
        if isinstance(error, OutOfMemory) or is_out_of_memory(error):
            return Short()
        return f"{type(error).__name__}: {error}".partition("\n")[0]


if __name__ == "__main__":
    main()
