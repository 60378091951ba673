"""Which cluster a command is for, and the token that it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossweep.search.service.address import find_service
from lossweep.search.service.profiles import find_profile
from lossweep.spaces.files.errors import UserError

CONFIG = """
default = "lab"

[profiles.lab]
cluster = "https://lab:8265"
home = "/shared"
python = "/opt/venv/bin/python"

[profiles.other]
cluster = "http://other:8265"
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No cluster, token or profile of whoever runs the tests."""
    for name in (
        "RAY_API_SERVER_ADDRESS",
        "RAY_ADDRESS",
        "RAY_AUTH_TOKEN",
        "RAY_AUTH_TOKEN_PATH",
        "RAY_AUTH_MODE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def configure(home: Path, text: str) -> None:
    (home / "config" / "lossweep").mkdir(parents=True)
    (home / "config" / "lossweep" / "config.toml").write_text(text)


def test_flag_before_profile_before_rays_variables(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_service(None, None) is None
    monkeypatch.setenv("RAY_ADDRESS", "http://second:8265/")
    assert str(find_service(None, None)) == "http://second:8265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://first:8265")
    assert str(find_service(None, None)) == "http://first:8265"
    configure(clean, CONFIG)
    lab = find_service(None, None)
    assert lab is not None
    assert (lab.url, lab.home, lab.python) == ("https://lab:8265", "/shared", "/opt/venv/bin/python")
    assert str(find_service(None, "other")) == "http://other:8265"
    assert str(find_service("http://flag:1", None)) == "http://flag:1"
    given = find_service(None, "lab", "/mine")
    assert given is not None
    assert given.home == "/mine"


@pytest.mark.parametrize("here", ["local", "auto", "10.0.0.1:6379"])
def test_a_driver_here_needs_no_job_service(here: str, clean: Path) -> None:
    configure(clean, CONFIG)
    assert find_service(here, None) is None


def test_the_address_of_a_cluster_that_a_job_runs_in_is_no_job_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray sets it for every job: a command that runs there is meant for there."""
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert find_service(None, None) is None


@pytest.mark.parametrize(
    "wrong", ["http://", "http://host:port", "http://host:99999", "http://host/?a=b", "ray://host:10001"]
)
def test_an_address_that_is_none_is_refused_in_one_line(wrong: str) -> None:
    with pytest.raises(UserError, match="--cluster: not the address of a job service") as error:
        find_service(wrong, None)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profiles = 3", "config.toml: profiles"),
        ("[profiles.lab]\nhome = '/x'", "config.toml: profiles.lab.cluster"),
        ("[profiles.lab]\ncluster = 'http://x'\ntoken = 'geheim'", "config.toml: profiles.lab.token"),
        ("default = 'lap'\n[profiles.lab]\ncluster = 'http://x'", "did you mean 'lab'"),
        ("x =", "config.toml: cannot be read"),
    ],
)
def test_a_wrong_configuration_is_told_by_file_and_key(text: str, said: str, clean: Path) -> None:
    configure(clean, text)
    with pytest.raises(UserError) as error:
        find_service(None, None)
    assert said in str(error.value)
    assert "geheim" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("http://localhost:8265", False),
        ("http://127.0.0.1:8265", False),
        ("http://[::1]:8265", False),
        ("https://head:8265", False),
        ("http://head:8265", True),
        ("http://127.0.0.1.evil.example:8265", True),
    ],
)
def test_what_can_be_read_on_the_way_is_known(url: str, exposed: bool) -> None:
    service = find_service(url, None)
    assert service is not None
    assert service.is_exposed is exposed


def header(monkeypatch: pytest.MonkeyPatch) -> str | None:
    service = find_service("http://localhost:8265", None)
    assert service is not None
    assert "geheim" not in repr(service)
    return service.headers.get("Authorization")


def test_the_token_is_found_where_ray_finds_it(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert header(monkeypatch) is None
    (clean / ".ray").mkdir()
    (clean / ".ray" / "auth_token").write_text("geheim-default\n")
    assert header(monkeypatch) == "Bearer geheim-default"
    (clean / "token").write_text("geheim-file")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(clean / "token"))
    assert header(monkeypatch) == "Bearer geheim-file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "geheim-variable")
    assert header(monkeypatch) == "Bearer geheim-variable"
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert header(monkeypatch) == "Bearer geheim-variable"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert header(monkeypatch) is None


def test_a_token_that_cannot_be_read_is_told_and_not_shown(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(clean / "missing"))
    with pytest.raises(UserError, match="RAY_AUTH_TOKEN_PATH: the token cannot be read"):
        header(monkeypatch)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "geheim\r\nX-Other: 1")
    with pytest.raises(UserError, match="letters that no token holds") as error:
        header(monkeypatch)
    assert "geheim" not in str(error.value)


def test_a_configuration_of_somebody_else_is_none(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's user may run with the home of another, which it can't read."""

    def refused(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refused)
    assert find_profile(None) is None
    with pytest.raises(UserError, match="cannot be read"):
        find_profile("lab")
