"""Addresses: made from parts, whatever a path holds, and shown without what may be secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, make_url, text

from lossweep.search.addresses import shown, sqlite_file, sqlite_url, without_secrets
from lossweep.search.workspace import Workspace

ODD = "a b?#%25 'é' {x} @home;&=+~"


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0/"), min_size=1))
def test_a_path_is_found_again_whatever_it_holds(name: str) -> None:
    file = Path("/homes") / name / "lossweep.db"
    assert sqlite_file(sqlite_url(file)) == file
    assert make_url(sqlite_url(file)).database == str(file)
    assert shown(sqlite_url(file)) == f"sqlite:///{file}"


def test_a_home_of_an_odd_name_holds_its_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOSSWEEP_DATABASE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    where = Workspace.at(tmp_path / ODD)
    assert where.is_new
    where.root.mkdir()
    for url in (where.database_url, where.mlflow_uri):
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE one (x INT)"))
        engine.dispose()
    assert not where.is_new
    assert sorted(path.name for path in where.root.iterdir()) == ["lossweep.db", "mlflow.db"]
    assert [path.name for path in tmp_path.iterdir()] == [ODD]


@pytest.mark.parametrize(
    "url", ["http://host/x", "postgresql://h/d", "sqlite://", "sqlite:///:memory:", "./x"]
)
def test_what_is_no_file_is_none(url: str) -> None:
    assert sqlite_file(url) is None


SECRETS = ("geheim", "p@ss/w:rd#%", "a?b@c", "12?34", "12#34", "@", "::", "g h", "100%25")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:{}@db.example:5432/sweeps",
        "postgresql+psycopg://me:{}@[::1]/sweeps?sslmode=require",
        "postgresql://{}@db.example/sweeps",
        "postgresql://db.example/sweeps?user=me&password={}",
        "postgresql://db.example/sweeps?sslpassword={}&sslmode=require",
        "https://me:{}@mlflow.example",
        "https://mlflow.example/{}/api",
        "https://mlflow.example/?token={}",
        "https://mlflow.example/#{}",
        "me:{}@mlflow.example",
    ],
)
def test_nothing_that_may_be_secret_is_shown(address: str, secret: str) -> None:
    harmless = address.replace("{}", "")
    words = shown(address.format(secret))
    assert "***" in words
    for part in secret.replace("@", "/").replace(":", "/").replace("?", "/").replace("#", "/").split("/"):
        assert not part or part in harmless or part not in words


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:geheim@db.example:5432/sweeps", "postgresql://***@db.example:5432/sweeps"),
        ("postgresql://db.example/sweeps?sslmode=require", "postgresql://db.example/sweeps?***"),
        ("postgresql://me:p@ss/w:rd#%@db.example/sweeps", "postgresql://***"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://token@mlflow.example/team/", "https://***@mlflow.example/***"),
        ("sqlite:////home/me@work/lossweep.db?key=geheim", "sqlite:////home/me@work/lossweep.db"),
        ("./mlruns", "./mlruns"),
        ("databricks", "databricks"),
    ],
)
def test_what_is_left_says_which_server(url: str, words: str) -> None:
    assert shown(url) == words


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://me:geheim@h/d", "could not connect to postgresql://me:geheim@h/d"),
        ("postgresql://me:geheim@h/d", "connection to 'postgresql+psycopg://me:geheim@h/d' failed"),
        ("postgresql://me:ge%40heim@h/d", "password 'ge@heim' of user me was refused"),
        ("postgresql://h/d?password=geheim", "invalid value for option: geheim"),
        ("https://h/geheim", "HTTPSConnectionPool(host='h'): Max retries exceeded with url: /geheim/api/2.0"),
        ("https://h/?token=ge%20heim", "with url: /api?token=ge%20heim, that is 'ge heim'"),
        ("", "see https://other.example/?token=geheim"),
    ],
)
def test_an_error_that_quotes_an_address_is_told_without_its_secrets(url: str, text: str) -> None:
    told = without_secrets(text, url)
    assert "heim" not in told
    assert "***" in told


def test_an_error_that_quotes_nothing_is_told_as_it_is() -> None:
    said = "no such table: x (Background on this error at: https://sqlalche.me/e/21/e3q8)"
    assert without_secrets(said, "postgresql://me:geheim@h/d", "sqlite:////a/b.db", "./mlruns") == said


def test_a_workspace_does_not_print_its_addresses(tmp_path: Path) -> None:
    where = Workspace(tmp_path, "postgresql://me:geheim@h/d", "https://me:geheim@h")
    assert "geheim" not in repr(where)


def test_the_name_of_a_databases_user_is_no_secret_in_a_text() -> None:
    said = "sweep two is already driven; stop it with: lossweep stop two"
    assert without_secrets(said, "postgresql+psycopg://lossweep@database:5432/lossweep") == said
    assert "geheim" not in without_secrets("GET geheim", "https://geheim@host")
