"""Commands that are meant for a cluster, against a job service that runs its jobs on this machine."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lossweep.__main__ import main
from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import Lease
from lossweep.search.service.messages import Request
from lossweep.search.workspace import Workspace
from tests.search.service.fake_service import FakeService, serving

TINY: dict[str, Any] = {
    "name": "tiny",
    "seed": 1,
    "data": {
        "source": "scenes",
        "classes": ["background", "vehicle"],
        "tile": 64,
        "train": 16,
        "val": 8,
        "test": 8,
    },
    "model": {
        "architecture": "Unet",
        "encoder": "tu-test_resnet",
        "options": {"encoder_depth": 3, "decoder_channels": [32, 16, 16]},
    },
    "training": {"batch": 4},
    "space": {"preset": "single"},
    "objective": {"use_case": "balanced"},
    "budget": {"trials": 2, "epochs": 1},
    "resources": {"runner": "inline"},
}

Said = tuple[int, str, str]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeService]:
    folder = tmp_path_factory.mktemp("service")
    fake = FakeService(folder, environment={"LOSSWEEP_HOME": str(folder / "home")})
    with serving(fake):
        yield fake


@pytest.fixture
def fake(running: FakeService) -> Iterator[FakeService]:
    before = dict(running.environment)
    yield running
    running.ray, running.token, running.environment = FakeService(Path()).ray, "geheim", before
    running.pretended.clear()


@pytest.fixture
def client(fake: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sweep file, of somebody who has an address and a token, and nothing else."""
    for name in [each for each in os.environ if each.startswith(("RAY_", "LOSSWEEP_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", fake.url)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "geheim")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return folder


@pytest.fixture
def lossweep(
    client: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["lossweep", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert "geheim" not in out + err
        code = end.value.code
        return (
            (code if isinstance(code, int) else 0),
            out,
            err.replace(f"cluster: {os.environ.get('RAY_API_SERVER_ADDRESS')}\n", ""),
        )

    return run


def home(fake: FakeService) -> Workspace:
    return Workspace.at(fake.environment["LOSSWEEP_HOME"])


def refused(said: Said, *words: str) -> None:
    """One clear line, exit code 2."""
    code, out, err = said
    lines = [line for line in err.splitlines() if not line.startswith(("submitted sweep", "warning: "))]
    assert (code, out) == (2, "")
    assert len(lines) == 1, err
    for word in words:
        assert word in lines[0]


@pytest.mark.slow
class TestOneSweep:
    """What a client sees of a sweep, from submitting to its export, in this order."""

    def test_submitted_at_once_with_what_to_type_next(
        self, fake: FakeService, lossweep: Callable[..., Said]
    ) -> None:
        code, out, err = lossweep("submit", "tiny.yaml")
        assert code == 0, err
        assert "1 file, 0.0 MiB of code" in err
        assert "lossweep status tiny" in out or "finished" in out
        [job] = [each for each in fake.jobs if "keeping" in each]
        assert fake.processes[job].wait(120) == 0
        assert "geheim" not in fake.log(job).read_text() + str(fake.jobs)

    def test_commands_that_look_say_what_they_say_there(
        self, fake: FakeService, client: Path, lossweep: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code, out, err = lossweep("status", "tiny")
        assert (code, err) == (0, "")
        assert "tiny  finished  2/2 trials" in out
        assert "Sweep tiny finished" in lossweep("logs", "tiny")[1]
        (client / "out").mkdir()
        code, out, _ = lossweep("export", "tiny", "-o", "out/best.yaml", "--checkpoint", "out/w.safetensors")
        assert code == 0
        assert sorted(path.name for path in (client / "out").iterdir()) == [
            "best.yaml",
            "w.md",
            "w.safetensors",
        ]
        there = Ledger(home(fake).database_url, read_only=True).history("tiny").winner()
        assert there is not None
        assert f"trial: {there.number}" in (client / "out" / "best.yaml").read_text()
        assert not [each for each in fake.jobs if "answering" in each]  # none is left on the cluster's list
        assert not (client / "runs").exists()

    def test_a_taken_name_is_refused_and_leaves_no_job(
        self, fake: FakeService, lossweep: Callable[..., Said]
    ) -> None:
        before = set(fake.jobs)
        refused(lossweep("submit", "tiny.yaml"), "this name is taken", "2 completed")
        assert set(fake.jobs) == before

    def test_a_job_that_is_called_failed_while_its_driver_lives(
        self, fake: FakeService, lossweep: Callable[..., Said]
    ) -> None:
        """As Ray was reported to do after its head failed over: the lease alone decides."""
        [job] = [each for each in fake.jobs if "keeping" in each]
        fake.pretended[job] = "FAILED"
        with Lease(Ledger(home(fake).database_url), "tiny", print):
            refused(
                lossweep("resume", "tiny", "--set", "budget.trials=3"),
                f"sweep tiny is already driven by process {os.getpid()} on ",
            )


@pytest.mark.parametrize(
    ("token", "given", "words"),
    [
        ("other", "wrong", "refuses the token"),
        ("other", "", "wants a token, and none was found"),
        (None, "", ""),
    ],
)
def test_tokens(
    token: str | None,
    given: str,
    words: str,
    fake: FakeService,
    lossweep: Callable[..., Said],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake.token = token
    monkeypatch.setenv("RAY_AUTH_TOKEN", given)
    said = lossweep("logs", "nothing")
    if words:
        refused(said, words, "RAY_AUTH_TOKEN")
    else:
        refused(said, "knows no job of a sweep named nothing")


def test_authentication_that_is_switched_off_here_alone(
    lossweep: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    refused(lossweep("list"), "wants a token", "RAY_AUTH_MODE=disabled")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1", "nobody listens there"),
        ("http://no-such-host.invalid:8265", "there is no host of this name"),
        ("https://127.0.0.1:{port}", "it does not speak https"),
    ],
)
def test_a_wrong_url(url: str, words: str, fake: FakeService, lossweep: Callable[..., Said]) -> None:
    port = fake.url.rpartition(":")[2]
    refused(lossweep("list", "--cluster", url.format(port=port)), "cannot be reached", words)


def test_an_address_where_something_else_listens(fake: FakeService, lossweep: Callable[..., Said]) -> None:
    refused(
        lossweep("list", "--cluster", f"{fake.url}/other"), "is not the job service of a Ray cluster", "404"
    )


def test_another_ray(fake: FakeService, lossweep: Callable[..., Said]) -> None:
    fake.ray = "2.9.1"
    refused(lossweep("submit", "tiny.yaml"), "the cluster has Ray 2.9.1, this client 2.60")


@pytest.mark.parametrize(("part", "value"), [("lossweep", "9.9.9"), ("python", "2.7")])
def test_another_lossweep_or_python(
    part: str, value: str, fake: FakeService, lossweep: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, before = Request.encoded, set(fake.jobs)
    ours = f'"{part}":"{getattr(Request(()), part)}"'
    monkeypatch.setattr(Request, "encoded", lambda self: encoded(self).replace(ours, f'"{part}":"{value}"'))
    refused(lossweep("submit", "tiny.yaml"), f"this client {value}: use the same")
    refused(lossweep("list"), f"this client {value}: use the same")
    assert set(fake.jobs) == before


def test_a_cluster_whose_python_has_no_lossweep(
    client: Path, fake: FakeService, lossweep: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = client.parent / "nobody" / "lossweep"
    config.mkdir(parents=True)
    for python in (f"{sys.executable} -I -S", "no-such-python"):
        (config / "config.toml").write_text(f'[profiles.x]\ncluster = "{fake.url}"\npython = "{python}"\n')
        refused(
            lossweep("list", "--profile", "x"), "the cluster's Python has no lossweep", "python in a profile"
        )
        refused(lossweep("submit", "tiny.yaml", "--profile", "x"), "the cluster's Python has no lossweep")


@pytest.mark.parametrize("missing", ["aiohttp", "requests"])
def test_a_client_without_the_extra(
    missing: str, lossweep: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    refused(lossweep("list"), f"needs the package {missing}", "pip install 'lossweep[cluster]'")


def test_a_cluster_without_a_home(fake: FakeService, lossweep: Callable[..., Said]) -> None:
    fake.environment = {}
    refused(lossweep("list"), "the cluster has no home for sweeps", "LOSSWEEP_HOME")
    refused(lossweep("submit", "tiny.yaml"), "the cluster has no home for sweeps")
    refused(
        lossweep("list", "--home", "runs"), "--home: not a folder of the cluster", "an absolute path there"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": {"sampler": "my_samplers:Own"}}, ("no module 'my_samplers' to import", "tiny.yaml")),
        ({"budget": {"trials": 0, "epochs": 1}}, ("budget.trials", "tiny.yaml:")),
    ],
)
def test_what_only_the_cluster_can_tell(
    changes: dict[str, Any],
    words: tuple[str, ...],
    client: Path,
    fake: FakeService,
    lossweep: Callable[..., Said],
) -> None:
    before = set(fake.jobs)
    (client / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"name": "wrong"} | changes))
    refused(lossweep("submit", "tiny.yaml"), *words)
    assert set(fake.jobs) == before
    if not home(fake).is_new:
        assert Ledger(home(fake).database_url, read_only=True).find("wrong") is None


@pytest.mark.parametrize(
    ("changes", "arguments", "words"),
    [
        (
            {"data": {"source": "folder", "root": "tiles"}},
            (),
            ("tiny.yaml:", "data.root", "an absolute path"),
        ),
        ({}, ("--set", "data.root=tiles"), ("data.root", "an absolute path")),
        ({"name": "no name"}, (), ("tiny.yaml:", "not a name")),
        ({}, ("--warm-start", "../best.yaml"), ("../best.yaml", "--code DIR")),
        ({}, ("--code", "other"), ("tiny.yaml", "is not among the files that are shipped")),
    ],
)
def test_what_is_known_before_anything_is_shipped(
    changes: dict[str, Any],
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    client: Path,
    fake: FakeService,
    lossweep: Callable[..., Said],
) -> None:
    before = len(list(fake.folder.iterdir()))
    (client / "other").mkdir()
    (client / "tiny.yaml").write_text(yaml.safe_dump(TINY | changes))
    refused(lossweep("submit", "tiny.yaml", *arguments), *words)
    assert len(list(fake.folder.iterdir())) == before


def test_a_file_that_is_ignored_is_not_shipped(client: Path, lossweep: Callable[..., Said]) -> None:
    (client / ".lossweepignore").write_text("*.yaml\n")
    refused(lossweep("submit", "tiny.yaml"), "is not among the files that are shipped", ".lossweepignore")


def test_a_cluster_that_has_forgotten_a_sweep(lossweep: Callable[..., Said]) -> None:
    refused(lossweep("resume", "forgotten"), "has no code of sweep forgotten any more", "--code .")


def test_what_can_be_read_on_the_way_is_warned_of(
    lossweep: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lossweep.commands.service._jobs", lambda service: sys.exit(7))
    code, _, err = lossweep("list", "--cluster", "http://head:8265")
    assert code == 7
    assert "warning: http://head:8265 is not encrypted: the token and the code can be read" in err
    assert "warning" not in lossweep("list", "--cluster", "https://head:8265")[2]
