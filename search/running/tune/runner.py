"""The Ray Tune runner: warm workers, one dispatcher, a fresh Tuner each time, nothing restored from Tune."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lossweep.search.running.dispatcher import Dispatcher

if TYPE_CHECKING:
    from lossweep.trainers.trial import TrialTrainer  # imports torch, which the driver can do without


@dataclass(frozen=True, slots=True)
class TuneRunner:
    """Runs a dispatcher's trials on a Ray cluster.

    Attributes:
        logs: folder for Ray's noise and Tune's temporary files; seen by every node of a cluster.
        parallel: trials side by side; None for as many as fit.
        cpus: cores a trial holds.
        gpus: GPUs a trial holds; a share also bounds its process's GPU memory.
        threads: of the numeric libraries in each worker.
        address: of a running Ray cluster, such as ``auto``; None starts a private one.
    """

    logs: Path
    parallel: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    threads: int = 1
    address: str | None = None

    def run(self, dispatcher: Dispatcher, trainer: TrialTrainer) -> None:
        """Train until the dispatcher hands out nothing more.

        Raises:
            UserError: when not one trial fits on this machine.
            SweepFailed: when the first trials all fail alike.
        """
        from lossweep.search.running.tune.cluster import job_id, ray_session

        with ray_session(self.address, self.threads, self.logs / "ray.log"):
            dispatcher.stop.install()
            dispatcher.job_began(job_id())
            self._tune(dispatcher, trainer)

    def _tune(self, dispatcher: Dispatcher, trainer: TrialTrainer) -> None:
        from ray import tune

        from lossweep.search.running.tune.adapters import (
            DispatchScheduler,
            DispatchSearcher,
            DispatchStopper,
            TuneBridge,
        )
        from lossweep.search.running.tune.cluster import IdleWatch, TrialResources, node_id, wait_for_slots
        from lossweep.search.running.tune.worker import TrialWorker
        from lossweep.search.running.tune.workers import RayWorkers

        resources = TrialResources(self.cpus, self.gpus)
        slots = min(wait_for_slots(resources, self.address is None, dispatcher.stop), self.parallel or 10**6)
        if not slots:
            return
        folder = self.logs / f"tune-{os.getpid()}"
        dispatcher.workers = workers = RayWorkers(folder / "cards", node_id())
        bridge = TuneBridge(dispatcher, slots, IdleWatch(resources), workers)
        worker = tune.with_parameters(TrialWorker, trainer=trainer, gpus=self.gpus, cards=workers.folder)
        bundle = {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}
        # Tune starts one actor at a time unless told; then short trials keep the other slots empty.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)
        try:
            tune.Tuner(
                tune.with_resources(worker, tune.PlacementGroupFactory([bundle])),
                tune_config=tune.TuneConfig(
                    num_samples=-1,
                    search_alg=DispatchSearcher(bridge),
                    scheduler=DispatchScheduler(bridge),
                    reuse_actors=True,
                    trial_name_creator=_short_name,
                    trial_dirname_creator=_short_name,
                ),
                run_config=tune.RunConfig(
                    name="workers",
                    storage_path=str(folder),
                    stop=DispatchStopper(bridge),
                    failure_config=tune.FailureConfig(max_failures=0),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    verbose=0,
                ),
            ).fit()
        except Exception:
            # The dispatcher's own error is the cause; Tune only carries its text.
            if bridge.error is None:
                raise
        finally:
            os.environ.pop("TUNE_MAX_PENDING_TRIALS_PG", None)
            shutil.rmtree(folder, ignore_errors=True)
        if bridge.error is not None:
            raise bridge.error


def _short_name(trial: object) -> str:
    return str(getattr(trial, "trial_id", "trial"))
