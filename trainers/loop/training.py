"""Training one trial: a generator of evaluations that goes on from checkpoints, and ends on divergence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.epochs import Stopped, TrialInMemory
from lossweep.trainers.loop.first_look import rehearsed_losses
from lossweep.trainers.loop.measurement import check_metrics
from lossweep.trainers.loop.memory import OutOfMemory, within_memory
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.outbox import Outbox
from lossweep.trainers.loop.prefix import TrainedEpoch, context_key, retrace
from lossweep.trainers.loop.retrieval import longest_prefix
from lossweep.trainers.own_code import with_code
from lossweep.trainers.plan import TrialPlan

__all__ = ["OutOfMemory", "train"]


def train(
    plan: TrialPlan,
    data: SegmentationData,
    checkpoints: CheckpointStore | None = None,
    should_stop: Callable[[], bool] | None = None,
    *,
    device: torch.device | str | None = None,
) -> Iterator[Evaluation]:
    """Train a trial, one `Evaluation` at a time.

    What is trained follows from the plan and the data alone. With a store of checkpoints, training goes on
    from the longest prefix trained before, by this trial or another, and the evaluations of that prefix
    come first, so that none is lost to a crash between a checkpoint and its report. Each evaluation is
    checkpointed before it is yielded: while a thread writes the checkpoint training goes on, and the
    evaluation is yielded between two of the steps that follow.

    Args:
        plan: what to train.
        data: what on.
        checkpoints: where prefixes are kept; None keeps none.
        should_stop: asked before each step; when it says yes the generator ends, and what was trained since
            the last evaluation is trained again on resuming.
        device: the GPU, when there is one, when None.

    Yields:
        An evaluation every ``training.evaluate_every`` epochs, at every phase's end, and wherever the
        schedule's next move depends on one. The last has ``finished`` set, or the ``verdict`` of the guard
        that ended the trial: before its first step, where its first loss cannot be learned by. The first says
        what the schedule's losses are like before training.

    Raises:
        OutOfMemory: the device cannot hold the micro-batch.
        EvaluationTooLarge: nor the smallest pass of an evaluation.
        CheckpointDiskFull: a checkpoint could not be written.
        UserError: the model or a loss cannot be built, a phase waits for a metric that is not measured, or
            the user's own code is not the one of the plan.
    """
    check_metrics(plan.schedule.metrics, plan.measure, data.prior)
    plan = with_code(plan)
    numerics = Numerics.of(plan.training, device)
    context = context_key(plan, data.fingerprint, str(numerics), torch.__version__)
    cursor = ScheduleCursor.start(plan.schedule)
    history: tuple[TrainedEpoch, ...] = ()
    found = longest_prefix(plan, data.fingerprint, numerics, checkpoints) if checkpoints else None
    retraced = retrace(plan, found[0].history) if found else None
    if retraced:
        cursor, history = retraced
    looked = within_memory(plan, lambda: rehearsed_losses(plan.schedule, data, numerics))
    for known in (epoch.evaluation for epoch in history if epoch.evaluation):
        yield replace(known, rehearsed=looked)
        looked = ()
    if cursor.finished:
        return
    state = found[1] if found else None
    trial = within_memory(plan, lambda: TrialInMemory(plan, data, numerics, cursor, history, state))
    found = state = None  # the trial holds the same on its device
    if not history and (rejected := within_memory(plan, trial.rejected)) is not None:
        yield replace(rejected, rehearsed=looked)
        return
    with Outbox(checkpoints, context, trial.spent, plan.branch_epochs) as outbox:
        try:
            while not trial.cursor.finished:
                evaluation = yield from trial.epoch(should_stop or _never, outbox)
                if evaluation is None:
                    continue
                yield from outbox.handed_out()
                if evaluation.finished and evaluation.verdict is None and plan.held_out is not None:
                    evaluation = trial.read_held_out(plan.held_out, evaluation, checkpoints)
                diverged = evaluation.verdict is not None
                told = replace(evaluation, rehearsed=looked)
                outbox.put(told, trial.history, None if diverged else trial.state_dict())
                looked = ()
                if outbox.ready:
                    yield from outbox.handed_out()
                if diverged:
                    return
        except Stopped:
            pass
        except Exception:
            # What had been measured before it went wrong is told first.
            yield from outbox.handed_out()
            raise
        yield from outbox.handed_out()


def _never() -> bool:
    return False
