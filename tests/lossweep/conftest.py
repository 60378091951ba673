from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lossweep.__main__ import main
from tests.lossweep.small_sweep import Run


@pytest.fixture
def lossweep(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in the folder of the sweep; returns exit code, output and errors."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("LOSSWEEP_HOME", str(home / "runs"))
    monkeypatch.setenv("COLUMNS", "400")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lossweep", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run
