"""Which runner a sweep's resources ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.trainers.visible_gpus import hide_gpus

if TYPE_CHECKING:  # it pulls torch in, which simulations do without
    from lossweep.trainers.trial import TrialTrainer


class Runner(Protocol):
    """Runs a dispatcher's assignments on a trainer until the dispatcher hands out nothing more."""

    def run(self, dispatcher: Dispatcher, trainer: TrialTrainer) -> None:
        """Run; what the dispatcher raises is passed on."""


def runner_for(
    spec: SweepSpec, workspace: Workspace, cluster: str | None = None, gpu_share: float | None = None
) -> Runner:
    """The runner that a sweep's resources ask for.

    Args:
        spec: the sweep.
        workspace: where its logs lie.
        cluster: address of a Ray cluster; None for this machine alone.
        gpu_share: what each trial holds of a GPU, where the resources don't say and there is one.
    """
    resources = spec.resources
    if resources.runner == "inline":
        from lossweep.search.running.inline import InlineRunner

        if resources.gpus_per_trial == 0:
            hide_gpus()
        return InlineRunner()
    from lossweep.search.running.tune.runner import TuneRunner

    return TuneRunner(
        logs=workspace.logs(spec.name),
        parallel=resources.parallel,
        cpus=resources.cpus_per_trial,
        gpus=resources.gpus_per_trial,
        threads=spec.training.threads,
        address=cluster,
        passed=resources.environment,
        gpu_share=gpu_share,
    )
