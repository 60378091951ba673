"""The Ray cluster a sweep runs on, a private one or one that is given, and what fits on it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from lossweep.search.running.tune.environment import HIDDEN
from lossweep.spaces.files.errors import Problem, UserError

log = logging.getLogger(__name__)

_ray: Any = ray  # what is called through this has no types

_OBJECT_STORE_BYTES = 256 * 2**20
"""Only trial plans and reports pass through it."""

_LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class TrialResources:
    """What one trial holds."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU"] + ([f"{self.gpus:g} GPU"] if self.gpus else [])
        return " and ".join(parts)

    @classmethod
    def chosen(cls, cpus: float, gpus: float | None, measured: float | None = None) -> TrialResources:
        """What a trial holds on the cluster that this process is connected to.

        Args:
            cpus: cores.
            gpus: GPUs; None for one, or the measured share of one, where a node has any, else none.
            measured: that share; None where none was measured.
        """
        if gpus is not None:
            return cls(cpus, gpus)
        held = cls(cpus, measured or 1.0)
        if not held.fit(_ray.nodes()):
            return cls(cpus, 0.0)
        if measured is None:
            log.warning(
                "Each trial holds a whole GPU. Several small ones on a GPU are often faster together: "
                "resources.gpus_per_trial, a share of one."
            )
        return held

    def fit(self, nodes: list[dict[str, Any]]) -> int:
        """How many trials fit on these nodes side by side."""
        return sum(self._fit_on(node["Resources"]) for node in nodes if node["Alive"])

    def _fit_on(self, resources: dict[str, float]) -> int:
        by_cpu = int(resources.get("CPU", 0.0) / self.cpus + 1e-6)
        if not self.gpus:
            return by_cpu
        gpus = resources.get("GPU", 0.0)
        # A share lies on one GPU: 0.4 fits twice on each, not five times on two.
        by_gpu = int(gpus) * int(1.0 / self.gpus + 1e-6)
        return min(by_cpu, by_gpu)


def connect(address: str | None, folder: Path) -> None:
    """Connect this process to a Ray cluster, or start a private one, without a dashboard.

    Args:
        address: of a running cluster; None for a private one, even when another one runs on this machine.
        folder: for a private cluster's sockets and logs.
    """
    if address is not None:
        hidden = dict.fromkeys(filter(None, os.environ.pop(HIDDEN, "").split(",")), "")
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env={"env_vars": hidden} if hidden else None,
        )
        return
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        _temp_dir=str(folder),
    )


def job_id() -> str:
    """Return the id of this process's job in the cluster it is connected to."""
    return str(ray.get_runtime_context().get_job_id())


def node_id() -> str:
    """Return the id of the node that this process is connected to the cluster by."""
    return str(ray.get_runtime_context().get_node_id())


def wait_for_slots(
    resources: TrialResources, private: bool, stopping: Callable[[], bool], say_after: float
) -> int:
    """Return how many trials fit, waiting for a cluster to grow; 0 when a stop was asked for meanwhile.

    Raises:
        UserError: on a private cluster, which never grows, when not one trial fits.
    """
    started, said = time.monotonic(), False
    while not stopping():
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
        if not said and time.monotonic() - started > say_after:
            said = True
            log.warning(
                "Still waiting for resources: a trial needs %s on one node, and the cluster has %s. "
                "If it does not grow, this waits for ever; Ctrl-C ends it.",
                resources,
                _nodes_in_words(),
            )
        time.sleep(1.0)
    return 0


class GrowingSlots:
    """How many trials fit on a cluster whose nodes come and go; looked up now and then."""

    def __init__(self, resources: TrialResources, clock: Callable[[], float] = time.monotonic) -> None:
        """Look nothing up yet."""
        self._resources, self._clock = resources, clock
        self._looked, self._slots = -_LOOK_EVERY_S, 1

    def __call__(self) -> int:
        """Return them; at least one, since who waits for a node that went away waits for its return."""
        if self._clock() - self._looked >= _LOOK_EVERY_S:
            self._looked, self._slots = self._clock(), max(1, self._resources.fit(_ray.nodes()))
        return self._slots


class IdleWatch:
    """Says, once in a while, that trials wait for resources that others hold or that were lost."""

    def __init__(self, resources: TrialResources, say_after: float) -> None:
        self._resources = resources
        self._say_after = say_after
        self._since: float | None = None

    def idle(self, waiting: int) -> None:
        """Note that ``waiting`` trials wait while none runs."""
        now = time.monotonic()
        if not waiting:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since > self._say_after:
            self._since = now
            log.warning(
                "Nothing has run for %.0f s: %d %s waiting, each for %s on one node; "
                "the cluster has %s, %s free.",
                self._say_after,
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
