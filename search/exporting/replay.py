"""An exported schedule trained again as in its sweep, and whether it comes out the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lossweep.search.conducting.plans import plan_of
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.trial_history import TrialHistory
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay.

    Attributes:
        metric: that the sweep scores by.
        then: the evaluation that the score was taken from.
        now: the same one of the replay; None where the training ended before it.
    """

    metric: str
    then: Evaluation
    now: Evaluation | None

    @property
    def differing(self) -> Mapping[str, float]:
        """What differs, now minus then, by metric."""
        if self.now is None:
            return {}
        then, now = self.then.metrics, self.now.metrics
        return {name: now[name] - then[name] for name in then if name in now and now[name] != then[name]}

    @property
    def reproduced(self) -> bool:
        """Whether every figure is the same, to the last bit; a later version may measure more."""
        return self.now is not None and self.now.metrics.items() >= self.then.metrics.items()

    def __str__(self) -> str:
        epoch, then = self.then.epoch, self.then.metrics[self.metric]
        if self.now is None:
            return (
                f"not reproduced: the training ended before epoch {epoch}, where {self.metric} was {then:.6f}"
            )
        if self.reproduced:
            count = len(self.then.metrics)
            return (
                f"reproduced bit for bit: {self.metric} {then:.6f} after epoch {epoch}, all {count} figures"
            )
        now = self.now.metrics.get(self.metric, float("nan"))
        text = f"not reproduced: {self.metric} {now:.6f} after epoch {epoch}, {then:.6f} in the sweep"
        found = self.differing
        if not found:
            return f"{text}; other figures were measured"
        worst = max(found, key=lambda name: abs(found[name]))
        return (
            f"{text} ({now - then:+.3g}); {len(found)} of {len(self.then.metrics)} figures differ, "
            f"most of all {worst} by {found[worst]:+.3g}"
        )


def exported_trial(exported: ScheduleFile, history: SweepHistory) -> TrialHistory:
    """Return the trial that a file was exported from.

    Raises:
        UserError: when the sweep has none such, or the file was changed since.
    """
    told = exported.provenance
    trials = {trial.number: trial for trial in history.recorded}
    trial = trials.get(told.get("trial", -1))
    if trial is None or trial.scored is None:
        found = str(told.get("trial", "no trial in its provenance"))
        raise UserError(Problem(f"sweep {history.name} has no such trial", key="trial", found=found))
    budget = exported.epochs
    if (exported.phases, exported.cycles, budget, told.get("seed")) != (
        trial.schedule.phases,
        trial.schedule.cycles,
        trial.schedule.epochs or history.budget_epochs,
        trial.seed,
    ):
        message = f"the schedule or its seed is not the one of trial {trial.number} any more"
        raise UserError(
            Problem(message, hint=f"train it as it stands: lossweep train; or export {history.name}")
        )
    return trial


def replay(
    trial: TrialHistory, spec: SweepSpec, workspace: Workspace, data: str = ""
) -> Iterator[Evaluation]:
    """Train a trial again by the plan it had, up to the evaluation that its score was taken from.

    From scratch and without checkpoints, so that nothing is read back; the test split is left alone.

    Args:
        trial: with a score.
        spec: of its sweep.
        workspace: where the decoded data lie.
        data: the fingerprint of the data it was trained on.

    Raises:
        UserError: when the data have changed since.
    """
    from lossweep.trainers.loop.training import train
    from lossweep.trainers.trial import SegmentationTrainer

    loaded = SegmentationTrainer(spec.data, workspace.cache, None).data()
    if data and loaded.fingerprint != data:
        raise UserError(
            Problem("the data have changed since", found=loaded.fingerprint[:19], allowed=data[:19])
        )
    assert trial.scored is not None
    for evaluation in train(plan_of(spec, trial), loaded):
        yield evaluation
        if evaluation.step >= trial.scored.step:
            return
