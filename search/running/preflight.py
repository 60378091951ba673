"""What is looked at before the first worker starts: what is imported, the files, the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lossweep.search.choices import (
    guard_problems,
    import_problems,
    metric_problems,
    of_each_import,
    own_metrics,
)
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.terms import ImportedLoss
from lossweep.trainers.data.spec import SplitName

if TYPE_CHECKING:  # it pulls torch in, which reading a sweep file does without
    from lossweep.trainers.gpu_rehearsal import OnGpu
    from lossweep.trainers.loop.rehearsal import Rehearsed


def check_before_loading(spec: SweepSpec) -> None:
    """Check what shows without decoding an image: imports, folders, pairs, headers.

    Raises:
        UserError: with everything that is wrong.
    """
    from lossweep.trainers.data.checking.check import check_quick

    problems = [_within("space", problem) for problem in import_problems(spec.space)]
    problems += metric_problems(spec.measure, spec.objective, spec.pruning, spec.space)
    for path, problem in guard_problems(spec.guards):
        problems.append(_within(f"guards.{path}", problem))
    try:
        check_quick(spec.data)
    except UserError as error:
        problems += error.problems
    if problems:
        raise UserError(problems)


def check_confirmable(test_images: int) -> None:
    """Check that there is a test split for a confirmation to read.

    Raises:
        UserError: when there is none.
    """
    if not test_images:
        raise UserError(
            Problem(
                "a confirmation reads the test split, and these data have none",
                key="confirm",
                hint="set some images aside as test, or leave confirm out",
            )
        )


def check_before_training(
    spec: SweepSpec,
    prior: ClassPrior,
    channels: int,
    evaluated: Mapping[SplitName, Iterable[tuple[int, int]]] | None = None,
) -> Rehearsed:
    """Check what needs the classes and bands: users' code computes, guards and the model build and fit.

    Args:
        spec: the sweep.
        prior: classes and their frequencies in the training masks.
        channels: bands of an image.
        evaluated: (height, width) of the images of validation and test, by the split's name.

    Returns:
        What does not keep the sweep from starting.

    Raises:
        UserError: with everything that is wrong, pretrained weights that can't be loaded included.
    """
    from lossweep.trainers.data.crops.whole_images import padded_size
    from lossweep.trainers.gpu_rehearsal import model_on_gpu
    from lossweep.trainers.guards import build_guards
    from lossweep.trainers.loop.rehearsal import Rehearsed, rehearse_model
    from lossweep.trainers.losses.rehearsal import rehearse
    from lossweep.trainers.metrics.own import rehearse_own_metric

    tile, training = spec.data.tile, spec.training
    validated = [padded_size(*size) for size in (evaluated or {}).get("val", ())]
    passes = sorted({training.batch, *training.fewer_a_pass}, reverse=True)
    losses = [
        _within("space", problem)
        for problem in of_each_import(spec.space, lambda loss: rehearse(loss, prior, tile, passes))
    ]
    problems = list(losses)
    problems += [
        dataclasses.replace(problem, key=key)
        for key, name in own_metrics(spec.measure, spec.objective, spec.pruning, spec.space)
        for problem in rehearse_own_metric(name, prior, tile, validated)
    ]
    try:
        build_guards(spec.guards, prior)
    except UserError as error:
        problems += (_within("guards", problem) for problem in error.problems)
    rehearsed, suspicions = Rehearsed(), list[str]()
    on_gpus = spec.resources.gpus_per_trial != 0
    if on_gpus and not losses:
        _sort_in(_losses_on_gpu(spec, prior), problems, suspicions)
    try:
        rehearsed = rehearse_model(spec.model, spec.training, prior, channels, tile, evaluated)
        if on_gpus:
            _sort_in(model_on_gpu(spec.model, prior, channels, tile), problems, suspicions)
    except UserError as error:
        problems += error.problems
    if problems:
        raise UserError(problems)
    return dataclasses.replace(rehearsed, suspicions=(*rehearsed.suspicions, *suspicions))


def _losses_on_gpu(spec: SweepSpec, prior: ClassPrior) -> OnGpu:
    """What is to be said of the user's own losses, sound on a CPU, on a GPU."""
    from lossweep.trainers.gpu_rehearsal import OnGpu, loss_on_gpu

    said: dict[ImportedLoss, OnGpu] = {}
    for _, loss in spec.space.imported_losses():
        said[loss] = loss_on_gpu(loss, prior, spec.data.tile)
    failing, slow = (
        tuple(_within("space", each) for each in of_each_import(spec.space, of))
        for of in (lambda loss: list(said[loss].fails), lambda loss: list(said[loss].suspicious))
    )
    return OnGpu(failing, slow)


def _sort_in(said: OnGpu, problems: list[Problem], suspicions: list[str]) -> None:
    """Where this machine has no GPU it trains; the workers' may have some."""
    from lossweep.trainers.loop.numerics import best_device

    if best_device().type != "cpu":
        problems += said.fails
    else:
        suspicions += map(str, said.fails)
    suspicions += map(str, said.suspicious)


def _within(place: str, problem: Problem) -> Problem:
    return dataclasses.replace(problem, key=f"{place}.{problem.key}" if problem.key else place)
