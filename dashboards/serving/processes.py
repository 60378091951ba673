"""Servers as child processes: a port, a start, an answer to wait for, an end that leaves nothing behind."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

from lossweep.dashboards.serving import watched
from lossweep.spaces.files.errors import UserError

LOOPBACK: Final = "127.0.0.1"


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def choose_port(host: str, wanted: int | None, usual: int) -> int:
    """Return a port to listen on.

    Args:
        host: to listen on.
        wanted: that port and no other; 0 for any free one, None for the usual one or, if taken, a free one.
        usual: taken when nothing is wanted.

    Raises:
        UserError: when the wanted port is taken.
    """
    if wanted == 0:
        return free_port(host)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted or usual))
        except OSError as error:
            if wanted is None:
                return free_port(host)
            raise UserError(f"port {wanted} on {host} can't be used: {error.strerror or error}") from error
    return wanted or usual


def start_process(
    started: ExitStack, command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | int
) -> subprocess.Popen[bytes]:
    """Start a server that ends, with all that it started, when the stack is closed or this process dies.

    Args:
        started: ends it.
        command: program and arguments; no secrets, for every user of the machine can read it.
        environment: beside this process's own.
        output: where it prints.
    """
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", watched.__file__, *command],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,  # closed by the system, should this process be killed
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # one process group, so that a server's own workers end with it
    )
    started.callback(_end, child)
    return child


def await_answer(
    child: subprocess.Popen[bytes],
    address: tuple[str, int],
    path: str,
    patience: float,
    name: str,
    log: Path | None,
) -> None:
    """Wait until a server answers.

    Args:
        child: the server.
        address: host and port that it listens on.
        path: to ask for.
        patience: seconds to wait.
        name: of the server, for what is said when it doesn't.
        log: where it prints, likewise.

    Raises:
        UserError: when it ended or did not answer.
    """
    host, port = address
    end = time.monotonic() + patience
    place = f"; see {log}" if log else ""
    while time.monotonic() < end:
        if child.poll() is not None:
            raise UserError(f"{name} ended with exit code {child.returncode} while starting{place}")
        connection = http.client.HTTPConnection(reachable(host), port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise UserError(f"{name} did not answer on port {port} within {patience:.0f} s{place}")


def reachable(host: str) -> str:
    """Return the host by which this machine reaches what listens on ``host``."""
    return LOOPBACK if host in ("0.0.0.0", "") else "[::1]" if host == "::" else host


def _end(child: subprocess.Popen[bytes]) -> None:
    for signalled in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, signalled)
        except ProcessLookupError:
            break
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            continue
    child.wait()
    if child.stdin is not None:
        child.stdin.close()
