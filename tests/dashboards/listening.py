"""A listener that tries again soon, and what it is told."""

from __future__ import annotations

import histories

from lossweep.dashboards.mlflow.tracking import MlflowListener
from lossweep.search.study.events import Event


def play(listener: MlflowListener, told: list[Event]) -> None:
    for event in told:
        listener.handle(event)
    listener.close()


def listener(uri: str, **settings: object) -> MlflowListener:
    return MlflowListener(uri, report=None, retry=(0.02, 0.05), **settings)  # type: ignore[arg-type] # passed on


SWEEP = histories.sweep(proposals=0, epochs=6)
