"""The command line, interrupted before it has begun with anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lossweep import __main__, commands
from lossweep.search.running.stopping import SIGNALS


def listens(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_while_it_is_imported(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "lossweep", "submit", "nowhere.yaml"]
    started = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not listens(started.pid, number):
        assert started.poll() is None
        time.sleep(0.001)
    started.send_signal(number)
    assert started.communicate(timeout=120.0) == ("", "")
    assert started.returncode == 130


@pytest.fixture
def _handlers_come_back() -> Iterator[None]:
    """The command line sets this process's signal handlers."""
    before = {one: signal.getsignal(one) for one in SIGNALS}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.usefixtures("_handlers_come_back")
@pytest.mark.parametrize("made_of_it", [KeyboardInterrupt(), ImportError("half of a module")])
def test_whatever_libraries_make_of_it(made_of_it: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def app() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise made_of_it from None

    monkeypatch.setattr(commands, "app", app)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 130


@pytest.mark.usefixtures("_handlers_come_back")
def test_an_error_that_no_signal_made_is_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app() -> None:
        raise ImportError("our own")

    monkeypatch.setattr(commands, "app", app)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 1
    assert "ImportError: our own" in capsys.readouterr().err
