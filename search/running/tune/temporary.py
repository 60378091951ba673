"""A folder for Ray's sockets and logs, whose path is short enough for a socket's name."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lossweep.spaces.files.errors import Problem, UserError

_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
"""The longest path of a Unix socket, less the zero at its end."""

_BELOW = "/lossweep-12345678/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""What Ray puts below the folder in which this one is made, at its longest."""

LONGEST = _SOCKET_BYTES - len(_BELOW)


def folder_for_sockets(candidates: Iterable[str] = ()) -> Path:
    """Make an empty folder in the first of some places that can be written to and has a short path.

    Args:
        candidates: the places; by default ``$RAY_TMPDIR``, the system's temporary folder, and the usual ones.

    Raises:
        UserError: when there is no such place.
    """
    wanted = os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"
    places = list(dict.fromkeys(filter(None, candidates or wanted)))
    for place in places:
        if len(os.fsencode(place)) <= LONGEST:
            try:
                return Path(tempfile.mkdtemp(prefix="lossweep-", dir=place))
            except OSError:
                continue
    raise UserError(
        Problem(
            "there is no folder for Ray's sockets",
            key="TMPDIR",
            found=", ".join(places),
            allowed=f"one that can be written to, with a path of at most {LONGEST} bytes",
            hint="set TMPDIR or RAY_TMPDIR to such a folder",
        )
    )
