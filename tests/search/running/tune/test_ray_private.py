"""Each private part of Ray that lossweep uses, by name: a failing name is one that an upgrade changed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import ray
from ray._private import worker
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune.execution.tune_controller import TuneController

import lossweep
from lossweep.search.running.tune.ray_private import LOGGER, worker_logs_to

PARTS: dict[str, Callable[[], bool]] = {
    "ray._raylet.Config.initialize": lambda: callable(ray._raylet.Config.initialize),
    "ray._raylet.AuthenticationTokenLoader.instance().reset_cache": lambda: callable(
        ray._raylet.AuthenticationTokenLoader.instance().reset_cache
    ),
    "ray._private.worker.print_worker_logs": lambda: (
        list(inspect.signature(worker.print_worker_logs).parameters)
        == ["data", "print_file", "ignore_prefix"]
    ),
    "ray._private.worker calls print_worker_logs by its global name": lambda: (
        "print_worker_logs" in worker.print_to_stdstream.__code__.co_names
    ),
    "TuneController._actor_manager": lambda: "_actor_manager" in TuneController.__init__.__code__.co_names,
    "RayActorManager.num_live_actors counts the actors that hold resources": lambda: (
        "_live_actors_to_ray_actors_resources" in RayActorManager.live_actors.fget.__code__.co_names  # type: ignore[attr-defined]  # a property
        and "live_actors" in RayActorManager.num_live_actors.fget.__code__.co_names  # type: ignore[attr-defined]
    ),
    "ray._private.worker logger": lambda: worker.logger.name == LOGGER,
}


@pytest.mark.parametrize("part", PARTS)
def test_ray_still_has(part: str) -> None:
    assert PARTS[part]()


def test_what_ray_prints_of_workers_is_written_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    written: list[str] = []
    before = worker.print_worker_logs
    with worker_logs_to(written.append):
        worker.print_worker_logs({"pid": 7, "lines": ["died", "badly"]}, None)
    assert written == ["(7) died\n(7) badly\n"]
    assert worker.print_worker_logs is before
    assert capsys.readouterr().out == ""


def test_no_other_room_reaches_into_ray() -> None:
    private = re.compile(r"(from|import) ray[\w.]*\._|\b_?ray\._[a-z]")
    files = list((Path(lossweep.__file__).parent / "search").resolve().rglob("*.py"))
    reaching = {path.name for path in files if private.search(path.read_text(encoding="utf-8"))}
    assert reaching == {"ray_private.py"}
