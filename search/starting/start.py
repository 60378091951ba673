"""From data that were looked at to a sweep file that runs: chosen, measured, written and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lossweep.search.starting import models
from lossweep.search.starting.budget import Budget, Pace, plan
from lossweep.search.starting.cutting import cut
from lossweep.search.starting.measuring import measured
from lossweep.search.starting.proposal import Proposal
from lossweep.search.starting.sweep_text import sweep_text
from lossweep.search.starting.wishes import Machine, Wishes
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.yaml_source import parse_yaml, plain_source, validate
from lossweep.spaces.losses.terms import Frozen
from lossweep.trainers.data.checking.report import DataReport
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.spec import DataSpec

_WORTH_EPOCHS = 12
"""A model that can't be trained for as many gives way to a smaller one."""


class _Data(Frozen):
    data: DataSpec


def data_spec(data: Mapping[str, Any], base: Path) -> DataSpec:
    """Return ``data:`` of a sweep file, checked; its root starts at ``base``.

    Raises:
        UserError: it can't be.
    """
    spec = validate(_Data, plain_source({"data": dict(data)}))
    return spec.data.resolve(base)


def propose(
    wishes: Wishes, machine: Machine, data: Mapping[str, Any], report: DataReport, base: Path, cache: Path
) -> Proposal:
    """Choose crops, model and budget; measures this machine for some seconds.

    Args:
        wishes: of the person.
        machine: that will train.
        data: ``data:`` as it was recognised, with its root.
        report: of these data.
        base: where relative folders start.
        cache: folder of the decoded data.

    Raises:
        UserError: no such sweep can be.
    """
    gpu = machine.gpus > 0
    cutting = cut(report, gpu)
    prior = ClassPrior(names=report.classes, frequencies=report.splits[0].fractions)
    images = report.splits[0].images
    testable = any(split.name == "test" and split.images for split in report.splits)
    proposals = list[Proposal]()
    for choice in models.choices(gpu, cutting.tile, wishes.hours):
        batch = max(2, min(choice.batch, images * cutting.covering))
        ready = models.with_weights(replace(choice, batch=batch), prior, report.bands)
        proposal = Proposal(wishes, machine, data, cutting, ready)
        spec = proposal.spec(base)
        proposal, pace = _paced(proposal, base, load_data(spec.data, cache))
        batch = proposal.choice.batch
        budget = plan(wishes.hours, pace, images, batch, cutting.covering, machine.slots, testable)
        proposals.append(replace(proposal, budget=budget))
        if _is_worth(budget, wishes.hours):
            return proposals[-1]
    return proposals[-1]


def checked_text(proposal: Proposal, found: Sequence[str], file: Path, report: DataReport) -> str:
    """Return a proposal as a sweep file, read back and rehearsed as `lossweep check` does.

    Raises:
        UserError: what was written would not run.
    """
    from lossweep.search.running.preflight import check_before_training

    text = sweep_text(proposal, found, file.name)
    spec = SweepSpec.read(parse_yaml(text, str(file)), file.absolute().parent)
    prior = ClassPrior(names=report.classes, frequencies=report.splits[0].fractions)
    check_before_training(spec, prior, report.bands, {split.name: split.sizes for split in report.splits[1:]})
    return text


def _paced(proposal: Proposal, base: Path, data: SegmentationData) -> tuple[Proposal, Pace]:
    """The pace of a proposal; with half the batch, and again, where the GPU has no memory for it."""
    from lossweep.trainers.loop.memory import OutOfMemory

    while True:
        try:
            return proposal, measured(proposal.spec(base), data)
        except OutOfMemory:
            choice = proposal.choice
            if choice.batch < 4:
                raise
            proposal = replace(proposal, choice=replace(choice, batch=choice.batch // 2))


def _is_worth(budget: Budget, hours: float) -> bool:
    return budget.epochs >= _WORTH_EPOCHS and budget.hours <= hours
