"""Ray's workers, seen from the driver: which process has an attempt in hand, on whichever machine."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lossweep.search.running.worker_process import Sight, WorkerProcess, end, look_at

T = TypeVar("T")

_ray: Any = ray  # what is called through this has no types

_ANSWERS_WITHIN_S = 60.0
"""Another machine may have to start a process first."""

_KNOCKS_S = 5.0
"""How long a machine that is there may take to answer a knock."""

_DYING_S = 2.0
"""How long a machine that goes away may still answer after a worker of it was lost."""


class RayWorkers:
    """Finds workers by the cards that they write; see `search.running.worker_process`.

    Attributes:
        folder: of the cards, seen by every machine.
    """

    def __init__(self, folder: Path, node: str) -> None:
        """Make the folder.

        Args:
            folder: for the cards.
            node: Ray's id of this machine.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._node = folder, node

    def has(self, attempt: str) -> bool:
        """Whether a worker has an attempt in hand, or had."""
        return (self.folder / f"{attempt}.json").exists()

    def look(self, attempt: str) -> Sight | None:
        """What the worker of an attempt is at; None when no card of it can be read."""
        process = WorkerProcess.of(self.folder, attempt)
        return self._where_it_runs(process, look_at) if process is not None else None

    def end(self, attempt: str) -> bool:
        """End the worker of an attempt, and say whether that was done."""
        process = WorkerProcess.of(self.folder, attempt)
        return process is not None and self._where_it_runs(process, end)

    def machine_is_gone(self, attempt: str) -> bool:
        """Whether the machine of an attempt's worker went away; False when it can't be known.

        The cluster itself takes a while to notice, and by then its worker was reported lost. So the machine's
        own port is knocked at, for as long as the machine may still be on its way out. A worker that was lost
        before it wrote its card has not said where it ran: then it counts whether any machine is going.
        """
        process = WorkerProcess.of(self.folder, attempt)
        until = time.monotonic() + _DYING_S
        while _ray.is_initialized():
            nodes = {each["NodeID"]: each for each in _ray.nodes()}
            if process is None:
                going = any(each["Alive"] and not _answers(each) for each in nodes.values())
            elif process.node in nodes:
                going = not (nodes[process.node]["Alive"] and _answers(nodes[process.node]))
            else:
                return False
            if going or time.monotonic() > until:
                return going
            time.sleep(0.2)
        return False

    def _where_it_runs(self, process: WorkerProcess, ask: Callable[[WorkerProcess], T]) -> T:
        if process.node == self._node:
            return ask(process)
        if not ray.is_initialized():  # it would start anew
            raise RuntimeError(f"{process} can't be asked: the cluster is disconnected")
        there: Any = ray.remote(num_cpus=0)(ask)
        strategy = NodeAffinitySchedulingStrategy(process.node, soft=False)
        asked = there.options(scheduling_strategy=strategy).remote(process)
        answer: T = ray.get(asked, timeout=_ANSWERS_WITHIN_S)
        return answer


def _answers(node: Mapping[str, Any]) -> bool:
    """Whether somebody listens at the port of a node's own process."""
    try:
        with socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), _KNOCKS_S):
            return True
    except OSError:
        return False
