"""Which runner a sweep's resources ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from search.home import Home
from search.runners.desk import Desk
from search.sweep_spec import SweepSpec

if TYPE_CHECKING:  # it pulls torch in, which simulations do without
    from trainers.trial import TrialTrainer


class Runner(Protocol):
    """Runs a desk's assignments on a trainer until the desk hands out nothing more."""

    def run(self, desk: Desk, trainer: TrialTrainer) -> None:
        """Run; what the desk raises is passed on."""


def runner_for(spec: SweepSpec, home: Home, cluster: str | None = None) -> Runner:
    """The runner that a sweep's resources ask for."""
    resources = spec.resources
    if resources.runner == "inline":
        from search.runners.inline import InlineRunner

        return InlineRunner()
    from search.runners.tune import TuneRunner

    return TuneRunner(
        logs=home.logs(spec.name),
        parallel=resources.parallel,
        cpus=resources.cpus_per_trial,
        gpus=resources.gpus_per_trial,
        threads=spec.training.threads,
        address=cluster,
    )
