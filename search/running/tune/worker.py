"""What runs inside a Ray Tune worker: one warm process that trains attempt after attempt."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from lossweep.search.running.assignment import Assignment, Report
from lossweep.search.running.tune.cluster import node_id
from lossweep.search.running.worker_process import WorkerProcess, telling
from lossweep.search.study.faults import DeviceLost, Fault, FaultKind
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.visible_gpus import hide_gpus

if TYPE_CHECKING:
    from lossweep.trainers.trial import TrialTrainer  # imports torch, which the driver can do without

log = logging.getLogger(__name__)

REPORT = "report"
ASSIGNMENT = "assignment"


class TrialWorker(tune.Trainable):
    """A class Trainable whose actor is reused: the trainer and its data stay, the trial changes.

    ``setup`` may run for a trial that another actor takes over, so the trial itself begins in the first
    ``step``. Exceptions become reports: a raised one would cost the warm actor. One that has lost its GPU is
    to be lost.
    """

    def setup(  # type: ignore[override]  # tune.with_parameters adds the keywords
        self, config: dict[str, Any], trainer: TrialTrainer, gpus: float, cards: Path
    ) -> None:
        """Load the data once; what goes wrong is reported by the first step."""
        self._trainer, self._cards = trainer, cards
        self._evaluations: Iterator[Evaluation] | None = None
        self._broken: Fault | None = None
        self._open = ExitStack()
        self._process = self._tell()
        self._take_up(config[ASSIGNMENT])
        try:
            if gpus == 0:
                hide_gpus()
            from lossweep.trainers.gpu import hold_to_share  # imports torch, as a worker does and no driver

            hold_to_share(gpus)
            trainer.prepare()
        except Exception as error:
            self._broken = Fault.of(error)

    def step(self) -> dict[str, Any]:
        """Train up to the next evaluation.

        Raises:
            DeviceLost: this process has no GPU any more; Tune ends it, as any whose step raises.
        """
        assignment: Assignment = self.config[ASSIGNMENT]
        return {REPORT: self._report(assignment)}

    def get_auto_filled_metrics(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What Ray adds to each result, less the configuration: the plan need not travel back every time."""
        filled: dict[str, Any] = super().get_auto_filled_metrics(*args, **kwargs)
        filled.pop("config", None)
        return filled

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another assignment."""
        self._close()
        self.config = new_config
        return True

    def cleanup(self) -> None:
        """Drop the trial. Runs after errors too, so nothing is saved here: checkpoints are the trainer's."""
        self._close()
        self._open.close()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Not used: the trainer keeps its own checkpoints."""

    def load_checkpoint(self, checkpoint: object) -> None:
        """Not used: the trainer finds its newest checkpoint by itself."""

    def _report(self, assignment: Assignment) -> Report:
        attempt = assignment.attempt
        if self._broken is not None:
            return Report(attempt, fault=self._broken)
        try:
            if self._evaluations is None:
                self._take_up(assignment)
                self._evaluations = iter(self._trainer.trial(assignment.plan))
            evaluation = next(self._evaluations, None)
        except Exception as error:
            self._close()
            fault = Fault.of(error)
            if fault.kind is FaultKind.DEVICE_LOST:
                raise DeviceLost(fault.message) from error  # ends this process: see the class
            return Report(attempt, fault=fault)
        return Report(attempt, evaluation=evaluation)

    def _tell(self) -> WorkerProcess | None:
        """Be ready to tell where training stands; None where the driver's folder can't be reached."""
        try:
            return self._open.enter_context(telling(self._cards, node_id()))
        except OSError:
            log.warning("This worker can't write to %s: nobody will know where it stands.", self._cards)
            return None

    def _take_up(self, assignment: Assignment) -> None:
        """Say that this process has an attempt in hand from now on."""
        if self._process is not None:
            self._process.write(self._cards, assignment.attempt)

    def _close(self) -> None:
        evaluations, self._evaluations = self._evaluations, None
        close = getattr(evaluations, "close", None)
        if close is not None:
            close()
