"""A driver that was lost is started again; one that ended by itself is not."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import pytest

from lossweep.search.service.keeping import PAUSE_S, Keeper

_DRIVER = """
import os, signal, sys, time
file, ends = sys.argv[1], sys.argv[2].split(",")
with open(file, "a") as runs:
    runs.write(" ".join(sys.argv[3:]) + ";")
end = ends[min(len(open(file).read().split(";")) - 2, len(ends) - 1)]
if end == "lost":
    os.kill(os.getpid(), signal.SIGKILL)
if end == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    open(file + ".up", "w").close()
    time.sleep(60)
sys.exit(int(end))
"""


def keeper(file: Path, ends: str, retries: int, pauses: list[float]) -> Keeper:
    command = [sys.executable, "-c", _DRIVER, str(file), ends]
    return Keeper(command, ["--yes"], {}, retries, sleep=pauses.append)


@pytest.mark.parametrize(
    ("ends", "code", "runs"),
    [
        ("0", 0, [""]),
        ("2", 2, [""]),
        ("1", 1, [""]),
        ("130", 130, [""]),
        ("lost,0", 0, ["", "--yes"]),
        ("lost,lost,2", 2, ["", "--yes", "--yes"]),
        ("lost", 1, ["", "--yes", "--yes"]),
    ],
)
def test_only_a_lost_driver_is_started_again(
    ends: str, code: int, runs: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []
    assert keeper(tmp_path / "runs", ends, 2, pauses).keep() == code
    assert (tmp_path / "runs").read_text().split(";")[:-1] == runs
    assert pauses == [PAUSE_S * 2**n for n in range(len(runs) - 1)]
    said = capfd.readouterr().err
    assert said.count("The driver was lost: it was ended by SIGKILL.") == ends.count("lost") or ends == "lost"
    assert ("started again, 1 of at most 2 times" in said) is (len(runs) > 1)


def test_a_driver_that_was_told_to_end_is_not_started_again(tmp_path: Path) -> None:
    kept = keeper(tmp_path / "runs", "wait", 3, [])

    def tell() -> None:
        while not (tmp_path / "runs.up").exists():
            pass
        kept.end(signal.SIGTERM, None)

    thread = threading.Thread(target=tell)
    thread.start()
    assert kept.keep() == 130
    thread.join()
    assert (tmp_path / "runs").read_text() == ";"
