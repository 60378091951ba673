"""The Ray cluster a sweep runs on, a private one or one that is given, and its noise kept away."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from lossweep.search.running.stopping import StopRequest
from lossweep.search.running.tune import ray_private
from lossweep.spaces.files.errors import Problem, UserError

log = logging.getLogger(__name__)

_ray: Any = ray  # what is called through this has no types

SAY_AFTER_S = 30.0
"""How long resources are awaited in silence."""

_OBJECT_STORE_BYTES = 256 * 2**20
"""Only trial plans and reports pass through it."""

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_TQDM": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",
    "TUNE_WARN_THRESHOLD_S": "1000000000",
}
"""No console output, no usage reports, no snapshots of its own: the study is the only state."""


@dataclass(frozen=True, slots=True)
class TrialResources:
    """What one trial holds."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU"] + ([f"{self.gpus:g} GPU"] if self.gpus else [])
        return " and ".join(parts)

    def fit(self, nodes: list[dict[str, Any]]) -> int:
        """How many trials fit on these nodes side by side."""
        return sum(self._fit_on(node["Resources"]) for node in nodes if node["Alive"])

    def _fit_on(self, resources: dict[str, float]) -> int:
        by_cpu = int(resources.get("CPU", 0.0) / self.cpus + 1e-6)
        if not self.gpus:
            return by_cpu
        gpus = resources.get("GPU", 0.0)
        # A share lies on one GPU: 0.4 fits twice on each, not five times on two.
        by_gpu = int(gpus) * int(1.0 / self.gpus + 1e-6) if self.gpus < 1 else int(gpus / self.gpus)
        return min(by_cpu, by_gpu)


@contextlib.contextmanager
def ray_session(address: str | None, threads: int, log_file: Path) -> Iterator[None]:
    """Connect to a Ray cluster, or start a private one, and leave it again.

    A private cluster is guarded by a token made for this run, listens without a dashboard, and its processes'
    output goes to ``log_file``. A session that is already open in this process is used as it is.

    Args:
        address: of a running cluster; None for a private one, even when another one runs on this machine.
        threads: of the numeric libraries in each worker.
        log_file: for everything Ray says.
    """
    private = address is None
    environment = dict(QUIET)
    if private:
        # Two torch processes with two threads each on two cores are 4x slower than with one each.
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        if "RAY_AUTH_MODE" not in os.environ:
            environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with _environment_with(environment), _output_of_ray_to(log_file):
        if ray.is_initialized():
            yield
            return
        ray_private.read_authentication_anew()
        options: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        ray.init(
            address="local" if private else address,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **(options if private else {}),
        )
        try:
            yield
        finally:
            _disconnect()


def _disconnect() -> None:
    """Disconnect from Ray, with nothing of its own left for another thread to collect meanwhile.

    An object reference that a listener's thread happens to collect while Ray shuts down makes Ray end this
    process on the spot ("the core worker has already been shutdown").
    """
    gc.disable()
    try:
        gc.collect()
        ray.shutdown()
    finally:
        gc.enable()


def job_id() -> str:
    """Return the id of this process's job in the cluster it is connected to."""
    return str(ray.get_runtime_context().get_job_id())


def node_id() -> str:
    """Return the id of the node that this process is connected to the cluster by."""
    return str(ray.get_runtime_context().get_node_id())


def wait_for_slots(resources: TrialResources, private: bool, stop: StopRequest) -> int:
    """Return how many trials fit, waiting for a cluster to grow; 0 when a stop was asked for meanwhile.

    Raises:
        UserError: on a private cluster, which never grows, when not one trial fits.
    """
    started, said = time.monotonic(), False
    while not stop.is_set():
        slots = resources.fit(_ray.nodes())
        if slots:
            return slots
        if private:
            raise UserError(
                Problem(
                    "not one trial fits on this machine",
                    key="resources",
                    found=f"{resources} a trial",
                    allowed=_nodes_in_words(),
                )
            )
        if not said and time.monotonic() - started > SAY_AFTER_S:
            said = True
            log.warning(
                "Still waiting for resources: a trial needs %s on one node, and the cluster has %s. "
                "If it does not grow, this waits for ever; Ctrl-C ends it.",
                resources,
                _nodes_in_words(),
            )
        time.sleep(1.0)
    return 0


class IdleWatch:
    """Says, once in a while, that trials wait for resources that others hold or that were lost."""

    def __init__(self, resources: TrialResources) -> None:
        self._resources = resources
        self._since: float | None = None

    def idle(self, waiting: int) -> None:
        """Note that ``waiting`` trials wait while none runs."""
        now = time.monotonic()
        if not waiting:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since > SAY_AFTER_S:
            self._since = now
            log.warning(
                "Nothing has run for %.0f s: %d %s waiting, each for %s on one node; "
                "the cluster has %s, %s free.",
                SAY_AFTER_S,
                waiting,
                "trial is" if waiting == 1 else "trials are",
                self._resources,
                _nodes_in_words(),
                _in_words(_ray.available_resources()),
            )

    def busy(self) -> None:
        """Note that a trial runs."""
        self._since = None


def _nodes_in_words() -> str:
    alive = [node["Resources"] for node in _ray.nodes() if node["Alive"]]
    return "; ".join(_in_words(resources) for resources in alive) or "no living node"


def _in_words(resources: dict[str, float]) -> str:
    return f"{resources.get('CPU', 0.0):g} CPU and {resources.get('GPU', 0.0):g} GPU"


@contextlib.contextmanager
def _environment_with(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _output_of_ray_to(path: Path) -> Iterator[None]:
    """Send file descriptor 2, which Ray's native code writes to, into a file; Python's stderr stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", ray_private.LOGGER, "ray.data")]
    levels = [one.level for one in loggers]
    python = sys.stderr
    python.flush()
    try:
        own = python.fileno() == 2
    except (OSError, ValueError, AttributeError):
        own = False  # a test's or a notebook's replacement, which does not write to descriptor 2
    kept = os.dup(2)
    replacement = None
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 2)
        if own:
            replacement = os.fdopen(
                os.dup(kept), "w", buffering=1, encoding=python.encoding, errors="backslashreplace"
            )
            _point_handlers(python, replacement)
            sys.stderr = replacement
        for one in loggers:
            one.setLevel(logging.CRITICAL)
        with ray_private.worker_logs_to(_write_to_stderr):
            yield
    finally:
        if replacement is not None:
            sys.stderr = python
            _point_handlers(replacement, python)
            replacement.close()
        os.dup2(kept, 2)
        os.close(kept)
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def _write_to_stderr(lines: str) -> None:
    os.write(2, lines.encode())


def _point_handlers(old: Any, new: Any) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is old:
            handler.setStream(new)
