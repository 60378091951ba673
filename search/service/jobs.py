"""Ray's job service, spoken to by Ray's own client: jobs are started, followed and found again."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from lossweep.search.service import answering, keeping
from lossweep.search.service.address import VARIABLES, Service
from lossweep.search.service.messages import Answer, Request
from lossweep.search.service.package import Package
from lossweep.spaces.files.errors import LossweepError, Problem, UserError, one_line

ANSWERS_WITHIN_S: Final = 20.0
"""How long the service itself may take to answer."""

STOPS_WITHIN_S: Final = 60
"""How long Ray's own ``ray job stop`` lets a driver write its end; by itself it kills after 3 seconds."""

SWEEP, PART = "lossweep.sweep", "lossweep.part"
"""Metadata of a job: the sweep it is for, and whether it drives it."""

_LOOK_EVERY_S: Final = 0.25
_NOISE: Final = ("Running entrypoint for job ", "Runtime env is setting up")
"""What Ray itself writes into the log of a job."""


class JobsFailed(LossweepError):
    """The cluster failed in a way that is nobody's mistake here."""


class Jobs:
    """The jobs of one cluster."""

    def __init__(self, service: Service) -> None:
        """Connect, and make sure that somebody answers who may be asked and is of the same version.

        Raises:
            UserError: when the extra is missing, nobody answers, the token is wrong or missing, or the
                cluster's Ray is another.
        """
        self._service = service
        self._check()
        from ray.job_submission import JobSubmissionClient

        for room in ("dashboard_sdk", "job.sdk"):
            logging.getLogger(f"ray.dashboard.modules.{room}").setLevel(logging.WARNING)
        with self._told(), _without(VARIABLES):  # by which Ray would override the address
            self._client: Any = JobSubmissionClient(service.url, headers=dict(service.headers))

    # Drivers

    def drive(self, sweep: str, request: Request, code: Package | None) -> str:
        """Start the driver of a sweep; return the id of its job.

        Args:
            sweep: its name.
            request: the command that drives it.
            code: what is shipped; None for what its newest job was given.

        Raises:
            UserError: without code, when the cluster knows no job of the sweep.
        """
        if code is not None:
            with tempfile.TemporaryDirectory() as folder:
                archive = Path(folder) / "code.zip"
                archive.write_bytes(code.content)
                return self._submit(keeping.__name__, sweep, request, {"working_dir": str(archive)})
        given = self._code_of(sweep)
        if given is None:
            raise UserError(
                Problem(
                    f"the cluster has no code of sweep {sweep} any more",
                    hint="go to the folder that it was submitted from, and ship it again: --code .",
                )
            )
        return self._submit(keeping.__name__, sweep, request, given)

    def driver_of(self, sweep: str) -> str | None:
        """Return the id of a sweep's newest job; None when the cluster knows none."""
        newest = self._newest(sweep)
        return str(newest.submission_id) if newest is not None else None

    def begun(self, job: str, sweep: str, within: float) -> bool:
        """Wait until a driver has begun with its sweep; return whether it has.

        Args:
            job: its id.
            sweep: its name.
            within: seconds after which it is waited for no more.

        Raises:
            UserError: when it ended at once by the user's mistake, with what it said; no job is left.
            JobsFailed: when it ended by another error.
        """
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            info = self._info(job)
            log = self.log(job)
            if any(f"Sweep {sweep}{after}" in log for after in (":", " goes on:")):
                return True
            if info.status.is_terminal():
                if info.driver_exit_code == 0:
                    return True
                self._forget(job)
                raise self._failed(info, log)
            time.sleep(_LOOK_EVERY_S)
        return False

    def follow(self, job: str) -> Iterator[str]:
        """Yield a driver's log, line by line, until it ends."""
        loop = asyncio.new_event_loop()
        pending = ""
        try:
            with self._told():
                chunks = self._client.tail_job_logs(job)
                while True:
                    try:
                        pending += loop.run_until_complete(anext(chunks))
                    except StopAsyncIteration:
                        break
                    *lines, pending = pending.split("\n")
                    yield from (line for line in lines if not _is_noise(line))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        if pending and not _is_noise(pending):
            yield pending

    def log(self, job: str) -> str:
        """Return what a job has written so far."""
        with self._told():
            log: str = self._client.get_job_logs(job)
        return "\n".join(line for line in log.split("\n") if not _is_noise(line))

    def code_of_end(self, job: str) -> int | None:
        """Return the exit code of a job that has ended; None while it runs."""
        info = self._info(job)
        if not info.status.is_terminal():
            return None
        return int(info.driver_exit_code) if info.driver_exit_code is not None else 1

    # Commands that look

    def ask(self, request: Request, sweep: str | None = None) -> Answer:
        """Run a command in the cluster and return its answer.

        Args:
            request: the command.
            sweep: whose code it may need.

        Raises:
            UserError: when the cluster's Python has no lossweep.
            JobsFailed: when the job ended without an answer.
        """
        given = (self._code_of(sweep) if sweep else None) or {}
        job = self._submit(answering.__name__, sweep or "", request, given)
        try:
            while not (info := self._info(job)).status.is_terminal():
                time.sleep(_LOOK_EVERY_S)
            with self._told():
                log: str = self._client.get_job_logs(job)
        except KeyboardInterrupt:
            with self._told():
                self._client.stop_job(job)
            raise
        self._forget(job)
        answer = Answer.found_in(log)
        if answer is None:
            raise self._failed(info, log)
        return answer

    # Within

    def _submit(self, part: str, sweep: str, request: Request, runtime_env: Mapping[str, Any]) -> str:
        kind = part.rpartition(".")[2]
        command = f"{self._service.python} -m {part} {shlex.quote(request.encoded())}"
        with self._told():
            job: str = self._client.submit_job(
                entrypoint=command,
                submission_id=f"lossweep-{kind}-{sweep + '-' if sweep else ''}{uuid.uuid4().hex[:8]}",
                runtime_env={**runtime_env, "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOPS_WITHIN_S)}},
                metadata={SWEEP: sweep, PART: kind},
            )
        return job

    def _newest(self, sweep: str) -> Any | None:
        wanted = {SWEEP: sweep, PART: keeping.__name__.rpartition(".")[2]}
        with self._told():
            jobs = self._client.list_jobs()
        ours = [job for job in jobs if wanted.items() <= (job.metadata or {}).items()]
        return max(ours, key=lambda job: job.start_time or 0, default=None)

    def _code_of(self, sweep: str) -> dict[str, Any] | None:
        newest = self._newest(sweep)
        folder = (newest.runtime_env or {}).get("working_dir") if newest is not None else None
        return {"working_dir": folder} if folder else None

    def _info(self, job: str) -> Any:
        with self._told():
            return self._client.get_job_info(job)

    def _forget(self, job: str) -> None:
        """Take a job that has ended off the cluster's list, where one looks for sweeps."""
        with self._told():
            self._client.delete_job(job)

    def _failed(self, info: Any, log: str) -> LossweepError:
        """The error that a job's end is, in its own words."""
        said = [line for line in log.splitlines() if line.strip() and not _is_noise(line)]
        last = one_line(said[-1]) if said else one_line(info.message or "it said nothing")
        missing = any(words in last for words in ("No module named", "No package metadata"))
        if info.driver_exit_code == 127 or (missing and "lossweep" in last):
            return UserError(
                Problem(
                    "the cluster's Python has no lossweep of this version",
                    found=last,
                    allowed=f"lossweep {version('lossweep')}",
                    hint="install it there, or name the interpreter that has it: python in a profile",
                )
            )
        if info.driver_exit_code == answering.USERS_MISTAKE:
            return UserError(Problem(line) for line in said)
        return JobsFailed("\n".join(said) or f"the job failed: {last}")

    def _check(self) -> None:
        """See `__init__`. Ray's own client waits for ever and names no reason."""
        try:
            import aiohttp  # noqa: F401  # Ray's client needs it to follow logs
            import requests
        except ModuleNotFoundError as error:
            raise UserError(
                Problem(
                    f"a cluster's job service needs the package {error.name}, which is not installed",
                    hint="pip install 'lossweep[cluster]'",
                )
            ) from None
        url, ours = f"{self._service.url}/api/version", version("ray")
        try:
            reply = requests.get(url, headers=self._service.headers, timeout=ANSWERS_WITHIN_S)
        except requests.RequestException as error:
            raise self._unreachable(error) from None
        self._check_token(reply.status_code)
        try:
            theirs = str(reply.json()["ray_version"])
        except (ValueError, LookupError, TypeError):
            raise UserError(
                Problem(
                    f"{self._service} is not the job service of a Ray cluster",
                    found=f"status {reply.status_code} at /api/version",
                    hint="it is usually at port 8265 of the cluster's head",
                )
            ) from None
        if theirs.split(".")[:2] != ours.split(".")[:2]:
            raise UserError(Problem(f"the cluster has Ray {theirs}, this client {ours}: use the same"))

    def _check_token(self, status: int) -> None:
        hint = "it is taken from RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token"
        if status == 401:
            why = "wants a token, and none was found"
            if self._service.headers:
                why = "did not take the token"
            elif os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
                why, hint = "wants a token", "RAY_AUTH_MODE=disabled keeps it from being sent: unset it"
            raise UserError(Problem(f"{self._service} {why}", hint=hint))
        if status == 403:
            raise UserError(Problem(f"{self._service} refuses the token: it is another cluster's", hint=hint))

    def _unreachable(self, error: Exception) -> UserError:
        text = str(error)
        reasons = (
            ("Name or service not known", "there is no host of this name"),
            ("Failed to resolve", "there is no host of this name"),
            ("Connection refused", "nobody listens there"),
            ("timed out", f"it does not answer within {ANSWERS_WITHIN_S:g} s"),
            ("CERTIFICATE_VERIFY", "its certificate is not one that is trusted here"),
            ("SSL", "it does not speak https"),
        )
        why = next((why for words, why in reasons if words in text), type(error).__name__)
        hint = "is that the address of the cluster's dashboard, usually port 8265 of its head?"
        return UserError(Problem(f"{self._service} cannot be reached: {why}", hint=hint))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what Ray's client raises into one line."""
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            self._check_token(401 if "required" in str(error) else 403)
            raise
        except (requests.RequestException, ConnectionError) as error:
            raise self._unreachable(error) from None
        except RuntimeError as error:  # Ray's word for every other answer than 200
            text = str(error)
            with suppress(ValueError, LookupError, TypeError):
                text = str(json.loads(text.partition(": ")[2].rstrip("."))["msg"])
            raise JobsFailed(f"{self._service}: {one_line(text.strip().splitlines()[-1])}") from None


def _is_noise(line: str) -> bool:
    return any(words in line for words in _NOISE)


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
