"""A job service without a cluster: speaks as Ray's does, and runs each job as a process of this machine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]


@dataclass
class FakeService:
    """Its jobs, and what it pretends.

    Attributes:
        folder: for packages and logs.
        token: that it wants; None for an open one.
        ray: the version that it says it is.
        environment: of its jobs, beside this process's.
        pretended: statuses in place of the real ones, by job.
        jobs: what was submitted, by id.
    """

    folder: Path
    token: str | None = "geheim"
    ray: str = field(default_factory=lambda: version("ray"))
    environment: dict[str, str] = field(default_factory=dict)
    pretended: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    url: str = ""

    def submit(self, asked: dict[str, Any]) -> str:
        job = str(asked["submission_id"])
        where = self.folder / job
        where.mkdir()
        if uri := asked.get("runtime_env", {}).get("working_dir"):
            with zipfile.ZipFile(self.folder / uri.rpartition("/")[2]) as archive:
                archive.extractall(where)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "LOSSWEEP_"))
        }
        path = os.pathsep.join([str(where), str(REPOSITORY)])
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        environment = {
            **kept,
            "PATH": programs,
            "PYTHONPATH": path,
            "OMP_NUM_THREADS": "1",
            **self.environment,
        }
        with self.log(job).open("ab") as log:
            log.write(f"Running entrypoint for job {job}: {asked['entrypoint']}\n".encode())
            log.flush()
            process = subprocess.Popen(
                asked["entrypoint"], shell=True, cwd=where, env=environment, stdout=log, stderr=log
            )
        self.jobs[job], self.processes[job] = asked | {"start_time": len(self.jobs)}, process
        return job

    def log(self, job: str) -> Path:
        return self.folder / f"{job}.log"

    def details(self, job: str) -> dict[str, Any]:
        asked, code = self.jobs[job], self.processes[job].poll()
        status = "RUNNING" if code is None else "FAILED" if code else "SUCCEEDED"
        return {
            "type": "SUBMISSION",
            "submission_id": job,
            "status": self.pretended.get(job, status),
            "driver_exit_code": code,
            "entrypoint": asked["entrypoint"],
            "metadata": asked.get("metadata"),
            "runtime_env": asked.get("runtime_env"),
            "start_time": asked["start_time"],
        }

    def respond(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        kind, _, rest = path.removeprefix("/api/").partition("/")
        job, _, deed = rest.partition("/")
        match method, kind, deed:
            case "GET", "version", _:
                return 200, {"version": "4", "ray_version": self.ray}
            case "GET", "packages", name:
                return (200 if (self.folder / name).exists() else 404), {}
            case "PUT", "packages", name:
                (self.folder / name).write_bytes(body)
                assert zipfile.is_zipfile(io.BytesIO(body))
                return 200, {}
            case "POST", "jobs", "":
                job = self.submit(json.loads(body))
                return 200, {"job_id": job, "submission_id": job}
            case "GET", "jobs", "" if not job:
                return 200, [self.details(each) for each in self.jobs]
            case "GET", "jobs", "":
                return 200, self.details(job)
            case "GET", "jobs", "logs":
                return 200, {"logs": self.log(job).read_text(encoding="utf-8", errors="replace")}
            case "POST", "jobs", "stop":
                self.processes[job].terminate()
                return 200, {"stopped": True}
            case "DELETE", "jobs", "":
                del self.jobs[job]
                return 200, {"deleted": True}
        return 404, {}


@contextmanager
def serving(service: FakeService) -> Iterator[FakeService]:
    """Serve it from a thread, on loopback; end what its jobs left."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = self.headers.get("Authorization")
            if service.token is not None and given != f"Bearer {service.token}":
                code, reply = (403, "Forbidden: Invalid") if given else (401, "Unauthorized: Missing")
            else:
                code, reply = service.respond(self.command, self.path, body)
            content = json.dumps(reply).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        for process in service.processes.values():
            process.kill()
            process.wait()
