from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lossweep.search.running.tune.environment import HIDDEN, cluster_environment, may_hold_secret

SECRET = {
    "LOSSWEEP_DATABASE": "sqlite:///x.db",
    "MLFLOW_TRACKING_URI": "http://mlflow",
    "MLFLOW_TRACKING_USERNAME": "me",
    "mlflow_tracking_token": "t",
    "DATABRICKS_HOST": "h",
    "PGPASSFILE": "/home/me/.pgpass",
    "PGSERVICEFILE": "f",
    "MYSQL_PWD": "p",
    "GITHUB_TOKEN": "t",
    "AWS_ACCESS_KEY_ID": "k",
    "GOOGLE_APPLICATION_CREDENTIALS": "/key.json",
    "SSH_AUTH_SOCK": "/run/agent",
    "DATABASE_URL": "postgresql://me:p@ss/w:rd#%@host/db",
    "BUCKET": "s3://key@bucket/x",
    "CONNECTION": "host=db password=p",
    "OTHER": "postgresql://host/db?user=me&password=p",
    "TRACE": "https://example/?api_key=p",
}
PLAIN = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "PWD": "/work",
    "OLDPWD": "/",
    "LOSSWEEP_HOME": "/runs",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "0",
    "HF_HOME": "/cache",
    "PYTHONHASHSEED": "0",
    "COMPASS": "north",
    "MIRROR": "https://example/simple?page=1",
    "EMAIL": "me@example.org",
    "LS_COLORS": "di=01;34:*.tar=01;31",
}


@pytest.mark.parametrize("name", SECRET)
def test_what_may_hold_a_secret_is_kept_from_workers(name: str) -> None:
    assert may_hold_secret(name, SECRET[name])


@pytest.mark.parametrize("name", PLAIN)
def test_all_else_reaches_them(name: str) -> None:
    assert not may_hold_secret(name, PLAIN[name])


def test_a_private_cluster_gets_a_token_of_its_own() -> None:
    given = {
        **SECRET,
        **PLAIN,
        "RAY_AUTH_TOKEN": "mine",
        "RAY_ADDRESS": "elsewhere",
        "RAY_worker_niceness": "5",
    }
    made = [cluster_environment(given, 3, private=True) for _ in range(2)]
    assert PLAIN.items() <= made[0].items()
    assert not SECRET.keys() & made[0].keys()
    assert (made[0]["OMP_NUM_THREADS"], made[0]["RAY_worker_niceness"]) == ("3", "5")
    assert "RAY_ADDRESS" not in made[0]
    assert len({"mine", *(one["RAY_AUTH_TOKEN"] for one in made)}) == 3
    off = cluster_environment({"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "mine"}, 1, private=True)
    assert off["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_TOKEN" not in off


def test_a_cluster_that_runs_elsewhere_is_joined_with_the_users_token() -> None:
    joined = cluster_environment({**SECRET, "RAY_AUTH_TOKEN": "mine"}, 1, private=False)
    assert joined["RAY_AUTH_TOKEN"] == "mine"
    assert not SECRET.keys() & joined.keys()
    assert "OMP_NUM_THREADS" not in joined


def test_the_sweep_file_names_what_is_passed_on_but_never_the_database() -> None:
    names = ["GITHUB_TOKEN", "LOSSWEEP_DATABASE", "NOT_SET"]
    passed = cluster_environment(SECRET, 1, private=True, passed=names)
    assert SECRET.keys() & passed.keys() == {"GITHUB_TOKEN"}


def test_modules_are_found_where_the_driver_finds_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), "", *sys.path])
    entries = cluster_environment({}, 1, private=True)["PYTHONPATH"].split(os.pathsep)
    assert entries[:2] == [str(tmp_path), os.getcwd()]  # noqa: PTH109
    assert not any(entry.endswith("site-packages") for entry in entries)


def test_what_workers_of_a_joined_cluster_are_not_to_see() -> None:
    """They have the environment of its nodes, of which the driver's is one."""
    given = {"LOSSWEEP_DATABASE": "x", "MY_PASSWORD": "x", "AWS_SECRET_ACCESS_KEY": "x", "LANG": "C"}
    given |= {"RAY_AUTH_TOKEN": "x", "WANTED_KEY": "x"}
    ours = cluster_environment(given, 1, private=False, passed=["WANTED_KEY"])
    assert ours[HIDDEN] == "LOSSWEEP_DATABASE,MY_PASSWORD"
    assert ours.keys() & given.keys() == {"LANG", "RAY_AUTH_TOKEN", "WANTED_KEY"}
    assert HIDDEN not in cluster_environment(given, 1, private=True)
