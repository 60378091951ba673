from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy import exc, make_url, text

from lossweep.search.addresses import shown
from lossweep.search.ledger import database
from lossweep.search.ledger.database import open_engine, open_storage
from lossweep.search.ledger.file_systems import file_system_of
from lossweep.search.ledger.patience import is_passing, patient
from lossweep.spaces.files.errors import UserError


def test_a_password_is_never_shown() -> None:
    assert "geheim" not in shown("postgresql://me:geheim@db.example/sweeps")
    with pytest.raises(UserError) as caught:
        open_engine("postgresql://me:geheim@127.0.0.1:1/sweeps?connect_timeout=1")
    assert "127.0.0.1" in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None  # the driver's own error holds the connection string


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("mysql://h/d", "mysql"),
        ("trino://h/d", "not supported; found trino; allowed: sqlite, postgresql"),
        ("sqlite://", "file"),
        ("sqlite:///:memory:", "file"),
        ("nonsense", "URL"),
        ("postgresql://me:geheim@h:port/d", "URL"),
        ("postgresql://me:ge@heim@h/d", "%40"),
        ("sqlite:////dev/null/home/lossweep.db", "/dev/null/home cannot be made: Not a directory"),
    ],
)
def test_unusable_databases_are_named(url: str, word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        open_engine(url)
    assert "heim" not in str(caught.value)


def test_sqlite_is_opened_in_wal_mode_and_waits_for_other_writers(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'a' / 'b.db'}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == database.BUSY_TIMEOUT_MS
    engine.dispose()


def test_the_study_is_opened_with_the_same_settings(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a{b}.db'}")
    with storage.engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 1
    storage.engine.dispose()
    assert (tmp_path / "a{b}.db").exists()


def test_the_file_system_is_the_one_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    share = tmp_path / "with space"
    share.mkdir()
    escaped = str(share).replace(" ", "\\040")
    mounts.write_text(f"/dev/x / ext4 rw 0 0\nhost:/x {escaped} nfs4 rw 0 0\nbroken\n", encoding="utf-8")
    assert file_system_of(share / "home", mounts) == "nfs4"
    assert file_system_of(tmp_path, mounts) == "ext4"
    assert file_system_of(tmp_path, tmp_path / "absent") == "unknown"


def test_sqlite_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "file_system_of", lambda folder: "nfs4")
    with pytest.raises(UserError, match="network file system"):
        open_engine(f"sqlite:///{tmp_path / 'x.db'}")


def _sqlite_error(message: str) -> exc.OperationalError:
    import sqlite3

    return exc.OperationalError("SELECT 1", {}, sqlite3.OperationalError(message))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (_sqlite_error("database is locked"), True),
        (_sqlite_error("database or disk is full"), True),
        (_sqlite_error("no such table: x"), False),
        (ValueError("x"), False),
    ],
)
def test_what_is_waited_for(error: Exception, passes: bool) -> None:
    assert is_passing(error) is passes
    wrapped = StorageInternalError("commit")
    wrapped.__cause__ = error
    assert is_passing(wrapped) is passes


def test_a_call_waits_until_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    answers = iter([_sqlite_error("locked"), _sqlite_error("locked"), 7])

    @patient
    def call() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert call() == 7
    assert len(slept) == 2
    assert slept[1] > slept[0]


def test_a_call_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))

    @patient
    def call() -> None:
        raise _sqlite_error("locked")

    with pytest.raises(exc.OperationalError):
        call()


def test_a_wrong_statement_is_not_tried_again() -> None:
    calls = []

    @patient
    def call() -> None:
        calls.append(1)
        raise _sqlite_error("no such table: x")

    with pytest.raises(exc.OperationalError):
        call()
    assert len(calls) == 1


@pytest.mark.slow
def test_processes_that_open_a_new_database_at_once_do_not_clash(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom lossweep.search.ledger.database import open_storage\n"
        "sys.stdin.readline()\nprint(len(open_storage(sys.argv[1]).get_all_studies()))"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path / 'new.db'}"]
    openers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    for opener in openers:
        out, error = opener.communicate(timeout=120)
        assert out.strip() == "0", error


def test_a_writer_that_is_busy_for_long_does_not_keep_a_database_shut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'lossweep.db'}"
    open_engine(url).dispose()
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    with closing(sqlite3.connect(tmp_path / "lossweep.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        engine = open_engine(url)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar() == 0
        engine.dispose()


def test_a_driver_that_quotes_the_password_is_not_repeated() -> None:
    url = make_url("postgresql+psycopg://me:geheim@db.example/sweeps")
    said = str(database._cannot_be_opened(url, RuntimeError("no entry for geheim\nat db.example")))
    assert "geheim" not in said
    assert "no entry for" in said
    assert "\n" not in said
