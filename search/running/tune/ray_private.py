"""What lossweep uses of Ray beyond its public interface: a test fails by name when one of these changes.

There is no public way to any of them. Nothing else in lossweep touches an underscore of Ray's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import ray
from ray._private import worker as ray_worker

_raylet: Any = ray._raylet
_worker: Any = ray_worker

LOGGER: Final = "ray._private.worker"
"""Ray's logger that says how its session starts."""


def read_authentication_anew() -> None:
    """Let Ray read its authentication mode and token from the environment as it is now.

    Its native part reads the mode when it is imported, and keeps the last session's token.
    """
    _raylet.Config.initialize("")
    _raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def worker_logs_to(write: Callable[[str], None]) -> Iterator[None]:
    """Give what Ray prints about its workers to ``write``, text of whole lines.

    Messages such as "a worker died" are printed on stdout otherwise, whatever ``log_to_driver`` says.
    """

    def print_worker_logs(data: dict[str, Any], print_file: object, ignore_prefix: bool = False) -> None:
        write("".join(f"({data.get('pid')}) {line}\n" for line in data["lines"]))

    before = _worker.print_worker_logs
    _worker.print_worker_logs = print_worker_logs
    try:
        yield
    finally:
        _worker.print_worker_logs = before


def actors_with_resources(controller: Any) -> int:
    """How many actors of a Tune experiment hold their resources, those that are still starting included.

    Tune's public word for a trial is pending, whether it waits for resources or has them.
    """
    return int(controller._actor_manager.num_live_actors)
