"""MLflow's thread that samples CPU, memory, disk, network and GPUs.

MLflow starts it by itself for the active run of a process only, whose state it would then set, too: there is
no public way to record beside runs that somebody else looks after.
"""

from __future__ import annotations

from typing import Any


def start_monitor(run: str, uri: str, interval: float) -> Any:
    """Start sampling and return the monitor, whose ``finish`` ends it.

    Args:
        run: id of the run that is recorded on; samples go on where those of an earlier monitor ended.
        uri: MLflow's store.
        interval: seconds between two samples.

    Raises:
        Exception: whatever MLflow raises, and what follows when its monitor is another one.
    """
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    make: Any = SystemMetricsMonitor  # untyped
    monitor = make(run, sampling_interval=interval, resume_logging=True, tracking_uri=uri)
    monitor.start()
    return monitor
