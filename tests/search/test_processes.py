"""What the system says of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from lossweep.search.processes import catches, process_stat


def test_a_living_one_has_a_state_and_a_start_and_none_after_its_end() -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        stat = process_stat(sleeper.pid)
        assert stat is not None
        assert stat.state in ("R", "S", "D")
        own = process_stat(os.getpid())
        assert own is not None
        assert own.born <= stat.born, "this process is the older one"
    finally:
        sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert process_stat(sleeper.pid) is None, "a zombie"
    sleeper.wait()
    assert process_stat(sleeper.pid) is None


@pytest.mark.parametrize("handled", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM])
def test_which_signals_have_a_handler(handled: signal.Signals) -> None:
    """Each by itself: the signals beside it have none."""
    code = (
        f"import signal, time; signal.signal({int(handled)}, lambda *_: None); print('ready', flush=True); "
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        others = (
            signal.SIGHUP,
            signal.SIGQUIT,
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGALRM,
            signal.SIGTERM,
        )
        assert [one for one in others if catches(process.pid, one)] == [handled]
    finally:
        process.kill()
        process.wait()
    assert not catches(process.pid, handled)
