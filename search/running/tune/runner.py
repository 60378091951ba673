"""The Ray Tune runner: one dispatcher, and a process that runs Ray; a fresh one when that is lost."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.study.faults import ClusterLost

if TYPE_CHECKING:
    from lossweep.search.running.tune.ray_process import RayProcess
    from lossweep.trainers.trial import TrialTrainer  # imports torch, which the driver can do without

log = logging.getLogger(__name__)

IN_SUCCESSION = 3
"""So many clusters that are lost before a trial was evaluated end the sweep."""


@dataclass(frozen=True, slots=True)
class TuneRunner:
    """Runs a dispatcher's trials on a Ray cluster.

    Attributes:
        logs: folder for Ray's noise and Tune's temporary files; seen by every node of a cluster.
        parallel: trials side by side; None for as many as fit.
        cpus: cores a trial holds.
        gpus: GPUs a trial holds, one or a share of it, which also bounds its process's GPU memory; None for
            one where a node has any.
        threads: of the numeric libraries in each worker.
        address: of a running Ray cluster, such as ``auto``; None starts a private one.
        passed: environment variables that workers get although they look like secrets.
        say_after: seconds that resources are awaited in silence.
        process: one that runs already, and goes on running; None starts one.
        gpu_share: what a trial holds where a node has GPUs and ``gpus`` is None; a whole one when None, too.
    """

    logs: Path
    parallel: int | None = None
    cpus: float = 1.0
    gpus: float | None = None
    threads: int = 1
    address: str | None = None
    passed: tuple[str, ...] = ()
    say_after: float = 30.0
    process: RayProcess | None = None
    gpu_share: float | None = None

    def run(self, dispatcher: Dispatcher, trainer: TrialTrainer) -> None:
        """Train until the dispatcher hands out nothing more.

        Raises:
            UserError: when not one trial fits on this machine.
            SweepFailed: when the first trials all fail alike.
            ClusterLost: when clusters are lost again and again.
        """
        from ray import cloudpickle

        from lossweep.search.running.tune.calls import Job
        from lossweep.search.running.tune.ray_process import RayProcess

        folder = self.logs / f"tune-{os.getpid()}"
        pickled: bytes = cloudpickle.dumps(trainer)  # type: ignore[no-untyped-call]  # of Ray
        job = Job(pickled, folder, self.parallel, self.cpus, self.gpus, self.say_after, self.gpu_share)
        log_file = self.logs / "ray.log"
        started = RayProcess(self.address, self.threads, log_file, self.passed)
        lost = 0
        with nullcontext(self.process) if self.process else started as process:
            while not dispatcher.stop.is_set():
                try:
                    process.run(job, dispatcher)
                    return
                except ClusterLost as error:
                    said = f"the Ray cluster was lost: {error} (see {log_file})"
                    lost = 0 if process.evaluations else lost + 1
                    if lost == IN_SUCCESSION:
                        raise ClusterLost(f"{said}; so were the {lost - 1} before it") from None
                    dispatcher.take_back(said)
                    if not dispatcher.stop.is_set():
                        log.warning("%s%s; a fresh one goes on.", said[0].upper(), said[1:])
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
