"""A look at a cluster before a sweep is written down for it: is it there, and has it what a trial holds?

``python -m lossweep.search.running.tune.reaching ADDRESS``: prints the resources of its nodes, as JSON. In a
process of its own: the driver does without Ray, which ends the processes that lose their cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from lossweep.search.running.tune.environment import cluster_environment
from lossweep.search.sweep_spec import ResourceSpec
from lossweep.spaces.files.errors import Problem, UserError

_ANSWERS_WITHIN_S = 60.0


def check_cluster(address: str, resources: ResourceSpec) -> None:
    """Make sure that a cluster can be reached, and has GPUs if trials hold any, unless none trains there.

    A cluster may grow, so that one whose nodes are too small for now is waited for; one without any GPU is
    taken for the wrong one.

    Raises:
        UserError: when it cannot be reached, or has none.
    """
    if resources.runner == "inline":
        return
    nodes = nodes_of(address)
    if resources.gpus_per_trial and not any(node.get("GPU") for node in nodes):
        has = "; ".join(f"{node.get('CPU', 0.0):g} CPU" for node in nodes) or "no living node"
        raise UserError(
            Problem(
                "the cluster has no GPU",
                key="resources.gpus_per_trial",
                found=f"{resources.gpus_per_trial:g} a trial, and nodes with {has}",
                allowed="0, or a cluster with GPUs",
            )
        )


def nodes_of(address: str) -> list[dict[str, float]]:
    """Return the resources of a cluster's living nodes.

    Raises:
        UserError: when it cannot be reached.
    """
    try:
        run = subprocess.run(
            [sys.executable, "-P", "-m", __spec__.name, address],
            env=cluster_environment(os.environ, 1, private=False),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWERS_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        raise _unreachable(address, f"it did not answer within {_ANSWERS_WITHIN_S:g} s") from None
    if run.returncode:
        raise _unreachable(address, next(reversed(run.stderr.strip().splitlines()), "Ray ended by itself"))
    nodes: list[dict[str, float]] = json.loads(run.stdout.splitlines()[-1])
    return nodes


def _unreachable(address: str, why: str) -> UserError:
    return UserError(Problem("the Ray cluster cannot be reached", key="--cluster", found=address, hint=why))


def main() -> None:
    """Look."""
    from pathlib import Path

    import ray

    from lossweep.search.running.tune.cluster import connect

    connect(sys.argv[1], Path())
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    print(json.dumps(nodes))


if __name__ == "__main__":
    main()
