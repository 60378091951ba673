"""One job run by Ray Tune: warm workers, a fresh Tuner each time, nothing restored from Tune."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ray import cloudpickle, tune

from lossweep.search.running.tune.adapters import (
    DispatchScheduler,
    DispatchSearcher,
    DispatchStopper,
    TuneBridge,
)
from lossweep.search.running.tune.calls import Dispatches, Job
from lossweep.search.running.tune.cluster import GrowingSlots, IdleWatch, TrialResources, wait_for_slots
from lossweep.search.running.tune.worker import TrialWorker
from lossweep.search.running.tune.workers import RayWorkers

if TYPE_CHECKING:
    from lossweep.trainers.trial import TrialTrainer  # imports torch

LOOK_EVERY_S = 1.0


def run_job(job: Job, dispatcher: Dispatches, workers: RayWorkers, private: bool) -> None:
    """Train until the dispatcher hands out nothing more.

    Args:
        job: what is trained, on what.
        dispatcher: hands out attempts.
        workers: told by their cards which attempt each has in hand.
        private: whether the cluster is this process's own, and never grows.

    Raises:
        UserError: when not one trial fits on a private cluster.
    """
    resources = TrialResources.chosen(job.cpus, job.gpus, job.gpu_share)
    fitting = wait_for_slots(resources, private, lambda: dispatcher.stopping, job.say_after)
    if not fitting:
        return
    slots = (lambda: fitting) if private else GrowingSlots(resources)
    trainer = cloudpickle.loads(job.trainer)
    while wait_for_turn(dispatcher, slots):
        bridge = TuneBridge(dispatcher, slots, IdleWatch(resources, job.say_after), workers, job.parallel)
        _tune(job, resources, bridge, trainer)
        if not bridge.yielded:
            return


def wait_for_turn(
    dispatcher: Dispatches, slots: Callable[[], int], sleep: Callable[[float], object] = time.sleep
) -> bool:
    """Wait until this sweep may hold a slot of a cluster that others share; False when it is to stop."""
    while not dispatcher.stopping:
        if dispatcher.allowed(slots()):
            return True
        sleep(LOOK_EVERY_S)
    return False


def _tune(job: Job, resources: TrialResources, bridge: TuneBridge, trainer: TrialTrainer) -> None:
    workers = bridge.workers
    worker = tune.with_parameters(TrialWorker, trainer=trainer, gpus=resources.gpus, cards=workers.folder)
    bundle = {"CPU": job.cpus, **({"GPU": resources.gpus} if resources.gpus else {})}
    # Tune starts one actor at a time unless told; then short trials keep the other slots empty.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(bridge.slots())
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
            storage_path=str(job.folder),
            stop=DispatchStopper(bridge),
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()


def _short_name(trial: object) -> str:
    return str(getattr(trial, "trial_id", "trial"))
