"""A small Slurm of one's own: a controller and nodes on this machine, from Debian's packages."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "srun")

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
KillWait=5
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm(folder: Path, nodes: int) -> Iterator[dict[str, str]]:
    """Start one, and yield the environment in which its commands find it.

    Args:
        folder: an empty one with a short path; munged's socket lies in it.
        nodes: how many, of one CPU each.
    """
    absent = [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]
    if absent or os.geteuid() != 0:
        pytest.skip(f"needs root and Slurm (Debian: slurmctld, slurmd, slurm-client); missing: {absent}")
    ports = free_ports(nodes + 1)
    host = socket.gethostname()
    lines = [
        f"NodeName=n{index} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 State=UNKNOWN"
        for index, port in enumerate(ports[1:])
    ]
    (folder / "state").mkdir()
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(host=host, port=ports[0], folder=folder, nodes="\n".join(lines))
    )
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": search_path()}
    munge = [f"--{what}={folder / name}" for what, name in MUNGE.items()]
    daemons = []

    def start(*command: str) -> None:
        log = (folder / "daemons.log").open("ab")
        daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

    try:
        start("munged", "--foreground", "--force", *munge)
        start("slurmctld", "-D", "-c")
        for index in range(nodes):
            start("slurmd", "-D", "-N", f"n{index}")
        until = time.monotonic() + 60
        while time.monotonic() < until and said(environment, "sinfo", "-h", "-o", "%D %t") != f"{nodes} idle":
            time.sleep(0.2)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in reversed(daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()


MUNGE = {
    "key-file": "munge.key",
    "socket": "munge.socket",
    "pid-file": "munged.pid",
    "log-file": "munged.log",
    "seed-file": "munge.seed",
}


def search_path() -> str:
    return os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def said(environment: dict[str, str], *command: str) -> str:
    """What a command of Slurm's prints; empty when it fails."""
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
