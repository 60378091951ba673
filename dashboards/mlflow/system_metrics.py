"""MLflow's own recorder of what a machine does while a sweep runs: CPU, memory, disk, network, GPUs."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any, Final

from lossweep.dashboards.mlflow.internals.monitor import start_monitor
from lossweep.spaces.files.errors import Problem, UserError

log = logging.getLogger(__name__)

INTERVAL: Final = 10.0
"""Seconds between two samples."""


def check_recorder(gpu: bool) -> None:
    """Look, before a sweep starts, whether what was asked for can be recorded.

    Args:
        gpu: whether GPUs are to be recorded, too.

    Raises:
        UserError: naming what is not installed.
    """
    needed = {"psutil": "psutil", **({"pynvml": "nvidia-ml-py"} if gpu else {})}
    missing = [name for module, name in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        hint = "pip install 'lossweep[system]'"
        raise UserError(Problem("not installed", key="--system-metrics", found=", ".join(missing), hint=hint))


def start_recorder(run: str, uri: str) -> Any:
    """Start recording on a run and return the recorder, whose ``finish`` ends it; None, said, without one."""
    try:
        return start_monitor(run, uri, INTERVAL)
    except Exception as error:
        log.warning("no system metrics: %s", error)
        return None
