"""What was trained before: the prefix that a training goes on from, and a trial's weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import nn

from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.loop.checkpoints import Checkpoint, CheckpointStore
from lossweep.trainers.loop.numerics import NAMES, Numerics
from lossweep.trainers.loop.prefix import VERSIONS, TrainedEpoch, context_key, possible_addresses, retrace
from lossweep.trainers.models import raw_model
from lossweep.trainers.own_code import is_current, with_code
from lossweep.trainers.plan import TrialPlan


def trained_model(
    plan: TrialPlan, data: SegmentationData, checkpoints: CheckpointStore, step: int | None = None
) -> nn.Module | None:
    """The trained weights of a trial, from its checkpoints: on the CPU, ready to predict.

    Args:
        plan: the trial, exactly as it was trained.
        data: what it was trained on.
        checkpoints: where.
        step: of the evaluation wanted, such as the one the trial's score was taken from; the last when None.

    Returns:
        The model as it was at that evaluation, or None when no checkpoint of it is left, or the model is the
        user's own and its code has changed since.
    """
    if plan.code is None:
        plan = with_code(plan)
    elif not is_current(plan.model.architecture, plan.code):
        return None

    def wanted(past: Sequence[TrainedEpoch]) -> bool:
        last = past[-1].evaluation if past else None
        return (step is None or (last is not None and last.step == step)) and retrace(plan, past) is not None

    possible = possible_addresses(plan)
    for context in _contexts(plan, data.fingerprint):
        if found := checkpoints.newest(context, wanted, possible):
            spec = plan.model.model_copy(update={"weights": None})
            model = raw_model(spec, data.prior, data.channels, plan.seed)
            model.load_state_dict(found[1]["model"])
            return model.eval()
    return None


def longest_prefix(
    plan: TrialPlan, fingerprint: str, numerics: Numerics, checkpoints: CheckpointStore
) -> tuple[Checkpoint, dict[str, Any]] | None:
    """The checkpoint of most epochs that a training can go on from, with its state.

    A trial that is tried again with a smaller micro-batch goes on from what it trained before it ran out of
    memory: only from there on it trains otherwise than planned.

    Args:
        plan: what is to be trained.
        fingerprint: of the data.
        numerics: where, and in what numbers: no other machine's epochs are gone on from.
        checkpoints: where.
    """
    longest: tuple[Checkpoint, dict[str, Any]] | None = None
    possible = possible_addresses(plan)
    for tried in _attempts(plan):
        if tried.images_a_pass < plan.images_a_pass:
            break
        earlier = tried.micro_batch != plan.micro_batch

        def fits(past: Sequence[TrainedEpoch], earlier: bool = earlier) -> bool:
            # Of a larger micro-batch only what this trial itself had trained by then.
            mine = past[-1].trained_by == plan.number
            return retrace(plan, past) is not None and (mine or not earlier)

        context = context_key(tried, fingerprint, str(numerics), torch.__version__)
        found = checkpoints.newest(context, fits, possible)
        if found and (longest is None or len(found[0].history) >= len(longest[0].history)):
            longest = found
    return longest


def _contexts(plan: TrialPlan, fingerprint: str) -> Iterator[str]:
    """Under which names a trial's checkpoints may lie, whichever machine and micro-batch trained them.

    A GPU's weights come before a CPU's; those that an earlier version trained are weights no less.
    """
    for version, numerics, tried in product(VERSIONS, NAMES, _attempts(plan)):
        yield context_key(tried, fingerprint, numerics, torch.__version__, version=version)


def _attempts(plan: TrialPlan) -> tuple[TrialPlan, ...]:
    """The plan with each micro-batch that an attempt at it may have had, the largest first."""
    return tuple(replace(plan, micro_batch=images) for images in plan.micro_batches)
