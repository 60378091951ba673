"""docker-compose.yml, Dockerfile and what they mount: no engine runs here, so what can be read is checked."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
import yaml
from compose_file import FILE, ROOT, Missing, Service, interpolated, services, variables

SECRETS = {"POSTGRES_PASSWORD": "pppp", "RAY_AUTH_TOKEN": "tttt", "GRAFANA_PASSWORD": "gggg"}
OURS = ("mlflow", "ray-head", "ray-worker", "ray-worker-gpu", "optuna-dashboard")


@pytest.fixture(scope="module")
def stack() -> dict[str, Service]:
    return services(SECRETS)


def test_every_service_that_a_team_needs_is_there(stack: dict[str, Service]) -> None:
    assert set(stack) == {*OURS, "database", "prometheus", "grafana"}
    profiles = {name: service.keys.get("profiles", []) for name, service in stack.items()}
    assert {name for name, given in profiles.items() if given} == {"ray-worker-gpu", "prometheus", "grafana"}


def test_all_of_ours_are_one_image_and_all_images_are_pinned(stack: dict[str, Service]) -> None:
    assert {stack[name].keys["image"] for name in OURS} == {f"lossweep:{_version()}"}
    for service in stack.values():
        name, _, tag = service.keys["image"].partition(":")
        assert re.match(r"v?\d+\.\d+", tag), f"{name} is not pinned: {tag!r}"
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("FROM "):
            assert re.match(r"FROM python:\d+\.\d+\.\d+-slim-\w+( AS \w+)?$", line), line


@pytest.mark.parametrize("missing", SECRETS)
def test_compose_refuses_to_start_without_a_secret_and_names_it(missing: str) -> None:
    given = {name: value for name, value in SECRETS.items() if name != missing}
    with pytest.raises(Missing, match=rf"{missing} .*\.env\.example"):
        services(given)
    with pytest.raises(Missing, match=missing):  # an empty one is none
        services({**SECRETS, missing: ""})


def test_the_example_names_every_variable_and_gives_no_secret() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    asked = variables(FILE.read_text())
    assert set(given) == set(asked)
    assert {name for name, value in given.items() if not value} == {
        name for name, default in asked.items() if default is None
    }
    assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_no_password_stands_in_the_file_or_on_a_command_line(stack: dict[str, Service]) -> None:
    for service in stack.values():
        words = " ".join([*service.argv, *map(str, service.keys["healthcheck"]["test"])])
        assert not any(secret in words for secret in SECRETS.values()), service.name
    for line in FILE.read_text().splitlines():
        if re.search(r"(PASSWORD|TOKEN)\w*:", line):
            assert ":?" in line, line


def test_workers_which_run_users_code_get_no_secret_but_the_clusters(stack: dict[str, Service]) -> None:
    for name in ("ray-worker", "ray-worker-gpu"):
        held = [key for key, value in stack[name].environment.items() if value in SECRETS.values()]
        assert held == ["RAY_AUTH_TOKEN"]
        assert not any("database" in value for value in stack[name].environment.values())
    assert "--num-cpus=0" in stack["ray-head"].argv, "trials on the head would see the driver's environment"


def test_only_loopback_is_published_and_the_job_port_asks_for_the_token(stack: dict[str, Service]) -> None:
    published = {name: service.keys.get("ports", []) for name, service in stack.items()}
    for ports in published.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in ports)
    assert published["ray-head"] == ["127.0.0.1:8265:8265"]
    assert not published["database"]
    assert stack["ray-head"].environment["RAY_AUTH_MODE"] == "token"
    assert stack["ray-head"].environment["RAY_AUTH_TOKEN"] == SECRETS["RAY_AUTH_TOKEN"]


def test_each_has_a_health_check_and_waits_for_the_health_of_what_it_needs(stack: dict[str, Service]) -> None:
    waits = {name: set(service.keys.get("depends_on", {})) for name, service in stack.items()}
    assert waits == {
        "database": set(),
        "mlflow": {"database"},
        "ray-head": {"database", "mlflow"},
        "ray-worker": {"ray-head"},
        "ray-worker-gpu": {"ray-head"},
        "optuna-dashboard": {"database"},
        "prometheus": set(),
        "grafana": {"prometheus"},
    }
    for service in stack.values():
        assert service.keys["healthcheck"]["test"][0] == "CMD"
        for condition in service.keys.get("depends_on", {}).values():
            assert condition == {"condition": "service_healthy"}


def test_what_is_kept_lies_on_named_volumes_and_what_is_mounted_exists(stack: dict[str, Service]) -> None:
    named = set(yaml.safe_load(interpolated(FILE.read_text(), SECRETS))["volumes"])
    used = set()
    for service in stack.values():
        for volume in service.keys.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert volume.endswith(":ro"), volume
                assert source == "./data" or (ROOT / source).exists(), source
            else:
                used.add(source)
    assert used == named


def test_hosts_and_ports_that_services_call_are_those_of_services(stack: dict[str, Service]) -> None:
    listening = {"database:5432", "mlflow:5000", "ray-head:6379"}
    for service in stack.values():
        for text in [*service.argv, *service.environment.values()]:
            for called in re.findall(r"\b(?:database|mlflow|ray-head):\d+", text):
                assert called in listening
    assert "--port=5000" in stack["mlflow"].argv
    assert "--port=6379" in stack["ray-head"].argv
    assert "mlflow:5000" in next(word for word in stack["mlflow"].argv if "--allowed-hosts" in word)


def test_a_gpu_is_reserved_by_the_gpu_profile_alone(stack: dict[str, Service]) -> None:
    reserved = {name for name, service in stack.items() if "deploy" in service.keys}
    assert reserved == {"ray-worker-gpu"}
    devices = stack["ray-worker-gpu"].keys["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert stack["ray-worker-gpu"].argv == stack["ray-worker"].argv


def test_the_image_installs_libraries_before_code_and_runs_as_nobody_special() -> None:
    steps = (ROOT / "Dockerfile").read_text()
    assert steps.index("pip install -c constraints.txt") < steps.index("COPY lossweep lossweep")
    assert re.search(r"^USER lossweep$", steps, re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", steps, re.MULTILINE)
    wanted = {name for line in copied for name in line.split()}
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert wanted == let_through
    assert all((ROOT / name).exists() for name in wanted)
    extra = re.search(r"'\.\[(\w+)\]'", steps)
    assert extra is not None
    assert extra[1] in _project()["optional-dependencies"]


def test_prometheus_and_grafana_read_what_the_driver_offers() -> None:
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert [job["job_name"] for job in scraped] == ["lossweep"]
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    board = json.loads((ROOT / "deploy/grafana/dashboards/lossweep.json").read_text())
    assert all(
        target["datasource"]["uid"] == source["datasources"][0]["uid"]
        for panel in board["panels"]
        for target in panel["targets"]
    )


def _project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])


def _version() -> str:
    return str(_project()["version"])
