"""What lossweep uses of Ray beyond its public interface: a test fails by name when one of these changes.

There is no public way to any of them. Nothing else in lossweep touches an underscore of Ray's.
"""

from __future__ import annotations

from typing import Any


def actors_with_resources(controller: Any) -> int:
    """How many actors of a Tune experiment hold their resources, those that are still starting included.

    Tune's public word for a trial is pending, whether it waits for resources or has them.
    """
    return int(controller._actor_manager.num_live_actors)


def release_idle_actors(controller: Any) -> None:
    """Give back the resources of actors that Tune keeps for trials to come."""
    controller._cleanup_cached_actors(force_all=True)
