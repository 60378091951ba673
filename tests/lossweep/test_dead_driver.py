"""A sweep whose driver was killed: whatever tells of it says so, and nothing of it is said to run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lossweep import Sweep
from lossweep.__main__ import main
from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import Lease
from lossweep.search.running.existing import existing_sweep
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.workspace import Workspace

_DRIVER = """
import sys
from pathlib import Path
from small_sweeps import spec, task, workspace
from lossweep.search.running.driver import run_sweep

root = Path(sys.argv[1])
run_sweep(spec(), workspace(root), task=task(root / "work", {2: "kill"}))
"""


@pytest.fixture(scope="module")
def left_by_the_dead(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A home in which a driver was killed in its third trial, and that driver's process id."""
    home = tmp_path_factory.mktemp("dead") / "runs"
    home.mkdir()
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "tests" / "search")])}
    driver = subprocess.Popen([sys.executable, "-c", _DRIVER, str(home)], env=environment)
    assert driver.wait(120) == -9
    return home, driver.pid


@pytest.fixture
def home(left_by_the_dead: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that home, as commands find it."""
    shutil.copytree(left_by_the_dead[0], tmp_path / "runs")
    monkeypatch.setenv("LOSSWEEP_HOME", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command prints."""

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["lossweep", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main()
        return "".join(capsys.readouterr())

    return run


def runs(page: str) -> bool:
    return re.search(r"\brunning\b|not over", page) is not None


@pytest.mark.usefixtures("home")
def test_status_names_the_dead_driver_and_how_to_go_on(
    said: Callable[..., str], left_by_the_dead: tuple[Path, int]
) -> None:
    for words in ((), ("--watch",)):  # which ends, as there is nothing to watch
        page = said("status", "small", *words)
        assert not runs(page)
        assert "small  interrupted  2/7 trials  2 completed  1 interrupted" in page
        assert re.search(rf"interrupted: its driver, process {left_by_the_dead[1]} on .* UTC, is gone", page)
    assert "Go on where it stopped: lossweep resume small" in said("status", "small")


@pytest.mark.usefixtures("home")
def test_list_why_report_and_submit_say_the_same(said: Callable[..., str], tmp_path: Path) -> None:
    listed = said("list")
    assert "interrupted" in listed
    assert not runs(listed)
    story = said("why", "small", "2")
    assert "Trial 2  interrupted" in story
    assert re.search(r"its driver, process \d+ on .*, is gone", story)
    assert "cut off with its driver" in story
    assert not runs(story)
    said("report", "small", "-o", "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "trials of 4 epochs; interrupted." in page
    assert 'class="chip running"' not in page
    assert str(Sweep.load("small")).startswith("sweep small, interrupted: 2/7 trials")
    state = existing_sweep(Workspace.at(), "small")
    assert str(state).startswith(
        "sweep small is interrupted: 2 completed, 1 interrupted; resuming would go on"
    )


def test_what_the_dead_driver_wrote_is_still_there_for_the_doctor(
    home: Path, said: Callable[..., str]
) -> None:
    found = said("doctor", "small")
    for words in ("zombie: 1 trial (2) marked running", "stale state", "stale lease"):
        assert words in found
    ledger = Ledger(Workspace.at(home).database_url)
    try:
        assert ledger.history("small", as_written=True).trials[2].outcome is OutcomeKind.RUNNING
        assert ledger.history("small").trials[2].outcome is OutcomeKind.INTERRUPTED
    finally:
        ledger.close()


def test_a_living_driver_is_named_and_its_trials_run(home: Path, said: Callable[..., str]) -> None:
    ledger = Ledger(Workspace.at(home).database_url)
    try:
        with Lease(ledger, "small", lambda reason, kind: None):
            page = said("status", "small")
            assert "small  running  2/7 trials  1 running  2 completed" in page
            assert f"driven by process {os.getpid()} on " in page
            ledger.enter("small", SweepState.STOPPED, "lossweep stop small")
            page = said("status", "small")
            assert "stopped: lossweep stop small" in page
            assert "driven by" not in page
    finally:
        ledger.close()
