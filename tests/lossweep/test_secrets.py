"""Passwords of databases and servers: never printed, in whichever part of an address, by whichever error."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from lossweep import commands
from lossweep.__main__ import main
from lossweep.commands.driving import _WithoutSecrets
from lossweep.search.addresses import without_user
from lossweep.search.ledger.database import open_engine
from lossweep.spaces.files.errors import UserError

DATABASES = (
    "postgresql://me:geheim@127.0.0.1:1/sweeps",
    "postgresql://me:ge@heim/ge:heim#%@127.0.0.1:1/sweeps",
    "postgresql://me:ge/heim?x@127.0.0.1:1/sweeps",
    "postgresql://127.0.0.1:1/sweeps?user=me&password=geheim",
    "postgresql://127.0.0.1:1/sweeps?sslmode=geheim",
    "postgresql://me@ge@heim:geheim@127.0.0.1:1/sweeps",
    "mysql://me:geheim@127.0.0.1/sweeps",
    "geheim",
    "postgresql://me:geheim@127.0.0.1:port/sweeps",
)


@pytest.mark.parametrize("url", DATABASES)
def test_a_database_that_cannot_be_opened_keeps_its_secrets(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOSSWEEP_HOME", str(tmp_path))
    monkeypatch.setenv("LOSSWEEP_DATABASE", url)
    monkeypatch.setattr(sys, "argv", ["lossweep", "list"])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert end.value.code == 2
    assert len(said.err.splitlines()) == 1
    assert "heim" not in said.out + said.err


@pytest.mark.parametrize("variable", ["LOSSWEEP_DATABASE", "MLFLOW_TRACKING_URI"])
def test_an_error_of_ours_is_told_without_the_password_that_it_quotes(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        try:
            raise OSError("connection to http://me:ge%40heim@host failed, password 'ge@heim'")
        except OSError as error:
            raise RuntimeError("no answer from postgresql://other:geheim@host/d") from error

    monkeypatch.setenv(variable, "http://me:ge%40heim@host")
    monkeypatch.setattr(commands, "app", fail)
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr().err
    assert end.value.code == 1
    assert "heim" not in told
    assert "Traceback" in told
    assert "RuntimeError: no answer from postgresql://***@host/d" in told


def test_the_log_of_a_driver_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSWEEP_DATABASE", "postgresql://me:geheim@host/d")
    try:
        raise OSError("password geheim was refused")
    except OSError:
        record = logging.LogRecord("x", logging.WARNING, "", 0, "no %s", ("geheim",), sys.exc_info())
    told = _WithoutSecrets(logging.Formatter("%(message)s")).format(record)
    assert "OSError: password *** was refused" in told
    assert "geheim" not in told


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://me:geheim@mlflow.example:5000/team", "http://mlflow.example:5000/team"),
        ("https://mlflow.example?token=geheim", "https://mlflow.example"),
        ("https://me:ge@heim/x@mlflow.example", "https://***"),
    ],
)
def test_links_name_nobody(url: str, base: str) -> None:
    assert without_user(url) == base


def test_a_missing_driver_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as after an installation without extras
    with pytest.raises(UserError, match=r"needs the package psycopg.*pip install 'lossweep\[postgresql\]'"):
        open_engine("postgresql://me:geheim@127.0.0.1:1/sweeps")
