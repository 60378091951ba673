"""Servers end with the process that started them, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from lossweep.dashboards.serving import watched
from lossweep.dashboards.serving.processes import start_process

# A server with a worker of its own, as MLflow has: both must go.
SERVER = """
import os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
# In one piece: two servers write to one pipe.
os.write(1, f"{os.getpid()} {worker.pid} {os.environ['ADDRESS']}\\n".encode())
time.sleep(60)
"""

STARTER = """
import subprocess, sys, time
from contextlib import ExitStack
from lossweep.dashboards.serving import watched
from lossweep.dashboards.serving.processes import start_process
started = ExitStack()
for each in range(2):
    start_process(started, [sys.executable, "-c", sys.argv[1]], {"ADDRESS": "kept"}, sys.stdout)
time.sleep(60)
"""

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER


SLOW_TO_END = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda number, frame: (time.sleep(0.5), sys.exit(0)))
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_closing_waits_for_a_server_that_takes_its_time() -> None:
    with ExitStack() as started:
        child = start_process(started, [sys.executable, "-c", SLOW_TO_END], {}, subprocess.PIPE)
        assert child.stdout is not None
        server = int(child.stdout.readline())
    assert _gone(server, patience=0.0)
    assert child.returncode == 0
    child.stdout.close()


def test_closing_leaves_no_process_behind() -> None:
    with ExitStack() as started:
        child = start_process(started, [sys.executable, "-c", SERVER], {"ADDRESS": "kept"}, subprocess.PIPE)
        assert child.stdout is not None
        server, worker, kept = child.stdout.readline().split()
    assert kept == b"kept"
    assert child.poll() is not None
    child.stdout.close()
    assert _gone(int(server))
    assert _gone(int(worker))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_takes_its_servers_with_it(number: signal.Signals) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, SERVER], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    pids = [int(pid) for _ in range(2) for pid in starter.stdout.readline().split()[:2]]
    assert not any(_gone(pid, patience=0.0) for pid in pids)
    starter.send_signal(number)
    assert starter.wait(60) == -number
    assert [pid for pid in pids if not _gone(pid)] == []
    assert starter.stdout.read() == b"", "nobody holds its output any longer"
    starter.stdout.close()


def test_a_server_that_does_not_listen_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    hasty = tmp_path / "watched.py"
    hasty.write_text(Path(watched.__file__).read_text().replace("GRACE = 10.0", "GRACE = 0.2"))
    command = [sys.executable, str(hasty), sys.executable, "-c", STUBBORN]
    running = subprocess.Popen(
        command,
        env=os.environ | {"ADDRESS": "kept"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert running.stdin is not None
    assert running.stdout is not None
    pids = [int(pid) for pid in running.stdout.readline().split()[:2]]
    running.stdin.close()
    assert running.wait(60) == -signal.SIGKILL
    assert [pid for pid in pids if not _gone(pid)] == []
    running.stdout.close()


def test_how_a_server_ended_is_known() -> None:
    with ExitStack() as started:
        child = start_process(started, [sys.executable, "-c", "raise SystemExit(3)"], {}, subprocess.DEVNULL)
        assert child.wait(60) == 3


def _gone(pid: int, patience: float = 60.0) -> bool:
    """Whether a process that was told to end has ended; the signal may reach it a moment later."""
    until, state = time.monotonic() + patience, Path(f"/proc/{pid}/stat")
    while True:
        try:
            if state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.05)
