"""A Ray cluster of one node as an administrator starts it, with a token, in a session of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from lossweep.search.running.tune.session import end_session

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Head:
    """A cluster that runs.

    Attributes:
        url: of its job service.
        token: that it wants.
        home: where its sweeps lie.
        folder: where Ray's sockets and logs lie.
    """

    url: str
    token: str
    home: Path
    folder: Path

    def processes(self) -> list[psutil.Process]:
        """What runs for it, jobs included, in whichever session."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("LOSSWEEP_HOME") == str(self.home):
                    found.append(process)
            except psutil.Error:
                continue
        return found


@contextmanager
def ray_head(cpus: int = 2, **environment: str) -> Iterator[Head]:
    """Start one; end it and what its jobs left."""
    with tempfile.TemporaryDirectory(prefix="head-", dir="/tmp", ignore_cleanup_errors=True) as short:
        folder, token = Path(short), secrets.token_hex(16)
        ports = free_ports(4)
        names = ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port")
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "LOSSWEEP_"))
        }
        head = Head(f"http://127.0.0.1:{ports[1]}", token, folder / "home", folder / "ray")
        variables = {
            **kept,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token,
            "LOSSWEEP_HOME": str(head.home),
            **environment,
        }
        command = ["ray", "start", "--head", "--block", "--disable-usage-stats", f"--temp-dir={head.folder}"]
        command += [f"--num-cpus={cpus}", "--num-gpus=0", "--object-store-memory=100000000"]
        command += [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
        with (folder / "head.log").open("wb") as log:
            process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)
        try:
            _await(head, process, folder / "head.log")
            yield head
        finally:
            process.kill()
            end_session(process.pid, spare=process.pid)
            process.wait()
            for left in head.processes():
                left.kill()
            shutil.rmtree(head.folder, ignore_errors=True)


def _await(head: Head, process: subprocess.Popen[bytes], log: Path, patience: float = 300.0) -> None:
    asked = urllib.request.Request(
        f"{head.url}/api/version", headers={"Authorization": f"Bearer {head.token}"}
    )
    deadline = time.monotonic() + patience
    while True:
        try:
            urllib.request.urlopen(asked, timeout=30).close()
            return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")) from None
            time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    """Ports beyond those that Ray gives its workers, 10002 to 19999."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            one = held.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            if not 10002 <= (port := int(one.getsockname()[1])) <= 19999:
                found.append(port)
    return found
