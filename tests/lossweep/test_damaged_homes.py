"""The command line in a home where something is damaged, foreign or not to be written: one line, no more."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lossweep.__main__ import main
from lossweep.search.running.driver import run_sweep
from lossweep.search.workspace import Workspace
from tests.search.small_sweeps import spec, task

Said = tuple[int, str, str]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two small sweeps."""
    root = tmp_path_factory.mktemp("homes") / "home"
    for name in ("first", "second"):
        run_sweep(spec(name, trials=3), Workspace.at(root), task=task(root.parent / name))
    return root


@pytest.fixture
def home(swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOSSWEEP_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(swept, tmp_path / "home"))


@pytest.fixture
def lossweep(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs a command line."""

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["lossweep", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err  # type: ignore[return-value]

    return run


def test_one_damaged_sweep_is_in_nobody_elses_way(home: Path, lossweep: Callable[..., Said]) -> None:
    with sqlite3.connect(home / "lossweep.db") as database:
        database.execute(
            "UPDATE lossweep_sweeps SET spec_yaml = 'objective: {metric: 7}' WHERE name = 'first'"
        )
    code, out, error = lossweep("list")
    assert (code, len(error.splitlines())) == (0, 1)
    assert "second" in out
    assert "sweep first is not one that this lossweep reads" in error
    code, out, error = lossweep("doctor")
    assert code == 1
    assert "first: unreadable: " in out
    for command in (["status", "second"], ["why", "second", "0"], ["gc", "second"], ["report", "second"]):
        assert lossweep(*command)[0] == 0, command
    for command in (["status", "first"], ["why", "first", "0"], ["gc", "first"], ["report", "first"]):
        code, _, error = lossweep(*command)
        assert (code, len(error.splitlines())) == (2, 1), command
