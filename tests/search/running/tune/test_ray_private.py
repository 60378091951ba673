"""Each private part of Ray that lossweep uses, by name: a failing name is one that an upgrade changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune.execution.tune_controller import TuneController

import lossweep

PARTS: dict[str, Callable[[], bool]] = {
    "TuneController._actor_manager": lambda: "_actor_manager" in TuneController.__init__.__code__.co_names,
    "TuneController._cleanup_cached_actors(force_all)": lambda: (
        "force_all" in TuneController._cleanup_cached_actors.__code__.co_varnames
    ),
    "RayActorManager.num_live_actors counts the actors that hold resources": lambda: (
        "_live_actors_to_ray_actors_resources" in RayActorManager.live_actors.fget.__code__.co_names  # type: ignore[attr-defined]  # a property
        and "live_actors" in RayActorManager.num_live_actors.fget.__code__.co_names  # type: ignore[attr-defined]
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_ray_still_has(part: str) -> None:
    assert PARTS[part]()


def test_no_other_room_reaches_into_ray() -> None:
    private = re.compile(r"(from|import) ray[\w.]*\._|\b(_?ray|controller)\._[a-z]")
    files = list((Path(lossweep.__file__).parent / "search").resolve().rglob("*.py"))
    reaching = {path.name for path in files if private.search(path.read_text(encoding="utf-8"))}
    assert reaching == {"ray_private.py"}
