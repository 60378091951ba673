"""The command line in a home where something is damaged, foreign or not to be written: one line, no more."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lossweep import commands
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


# --- damaged files ------------------------------------------------------------------------------------------

LOOKING = (
    ["list"],
    ["status", "first"],
    ["why", "first", "0"],
    ["report", "first"],
    ["export", "first"],
    ["compare", "first", "second"],
    ["gc", "first", "--dry-run"],
    ["doctor"],
)
CHANGING = (["resume", "first"], ["stop", "first"], ["gc", "first"], ["sync", "first"], ["confirm", "first"])


def _garbage(file: Path) -> None:
    file.write_bytes(b"not a database " * 1000)


def _torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _overwritten(file: Path) -> None:
    pages = bytearray(file.read_bytes())
    pages[6 * 4096 : 30 * 4096] = b"\xff" * 24 * 4096
    file.write_bytes(pages)


@pytest.mark.parametrize("harm", [_garbage, _torn, _overwritten])
def test_a_damaged_database_is_one_line_with_its_file_and_a_remedy(
    harm: Callable[[Path], None], home: Path, lossweep: Callable[..., Said]
) -> None:
    harm(home / "lossweep.db")
    before = (home / "lossweep.db").read_bytes()
    for command in (*LOOKING, *CHANGING):
        code, out, error = lossweep(*command)
        assert (code, out, len(error.splitlines())) == (2, "", 1), command
        assert f"database sqlite:///{home / 'lossweep.db'} is damaged" in error
        assert "backup" in error
        assert ".recover" in error
    assert (home / "lossweep.db").read_bytes() == before


# --- homes that may not be written --------------------------------------------------------------------------


@pytest.fixture
def closed_home(swept: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home in which this user may only read.

    Outside pytest's folder, and as another user for root, whom permissions do not bind.
    """
    with tempfile.TemporaryDirectory(prefix="lossweep-closed-") as folder:
        outside = Path(folder)
        home = Path(shutil.copytree(swept, outside / "a home? #1"))
        (outside / "work").mkdir()
        (outside / "work").chmod(0o777)
        outside.chmod(0o755)
        inside = (home, *home.rglob("*"))
        for path in inside:
            path.chmod(0o555 if path.is_dir() else 0o444)
        monkeypatch.chdir(outside / "work")
        monkeypatch.setenv("LOSSWEEP_HOME", str(home))
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield home
        finally:
            if is_root:
                os.seteuid(0)
            for path in inside:
                path.chmod(0o755)
            monkeypatch.undo()  # out of the folder before it goes


def test_commands_that_only_look_do_so_where_nothing_may_be_written(
    closed_home: Path, lossweep: Callable[..., Said]
) -> None:
    for command in LOOKING:
        code, out, error = lossweep(*command)
        assert code == (1 if command == ["doctor"] else 0), (command, error)
        assert out
        assert "Traceback" not in error
    for command in CHANGING:
        if command[0] == "sync":
            continue  # it writes into MLflow's database, which is not there yet
        code, out, error = lossweep(*command)
        assert (code, out, len(error.splitlines())) == (2, "", 1), command
        assert f"database sqlite:///{closed_home / 'lossweep.db'} may not be written" in error
        assert "--home" in error


def test_a_log_that_cannot_be_read_is_said_not_passed_over(
    closed_home: Path, lossweep: Callable[..., Said]
) -> None:
    """What stands in the write-ahead log alone is as much the sweep's as all else."""
    user = os.geteuid()
    if user != os.getuid():
        os.seteuid(os.getuid())
    closed_home.chmod(0o755)
    (closed_home / "lossweep.db-wal").write_bytes(b"x" * 32)
    closed_home.chmod(0o555)
    os.seteuid(user)
    code, out, error = lossweep("list")
    assert (code, out, len(error.splitlines())) == (2, "", 1)
    assert "was not closed by who wrote it last" in error


def test_looking_leaves_a_home_as_it_was(home: Path, lossweep: Callable[..., Said]) -> None:
    def held() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in home.rglob("*.db") if path.is_file()}

    before = held()
    for command in (["list"], ["status", "first"], ["export", "first"], ["gc", "first", "--dry-run"]):
        assert lossweep(*command)[0] == 0
    assert held() == before


def test_an_unfinished_write_ahead_log_is_read(home: Path, lossweep: Callable[..., Said]) -> None:
    writer = sqlite3.connect(home / "lossweep.db")
    writer.execute("UPDATE lossweep_sweeps SET state = 'stopped' WHERE name = 'first'")
    writer.commit()
    assert (home / "lossweep.db-wal").stat().st_size
    assert "stopped" in lossweep("list")[1]
    writer.close()


def test_a_database_without_sweeps_is_not_made_one_by_looking(
    tmp_path: Path, lossweep: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSWEEP_HOME", str(tmp_path))
    with sqlite3.connect(tmp_path / "lossweep.db") as others:
        others.execute("CREATE TABLE somebodys (x)")
    before = (tmp_path / "lossweep.db").read_bytes()
    assert "no sweeps in" in lossweep("list")[1]
    assert "there is no sweep named first" in lossweep("status", "first")[2]
    assert lossweep("doctor")[0] == 0
    assert (tmp_path / "lossweep.db").read_bytes() == before


def test_a_folder_that_may_not_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the database lies elsewhere; what is our own mistake keeps its traceback."""

    def refuse() -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "logs"))

    def fail() -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    for app, code, lines in ((refuse, 2, [f"{tmp_path / 'logs'}: Read-only file system"]), (fail, 1, None)):
        monkeypatch.setattr(commands, "app", app)
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr().err.splitlines()
        assert end.value.code == code
        assert said == lines or (lines is None and said[0].startswith("Traceback"))
