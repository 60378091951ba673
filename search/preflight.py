"""What is looked at before the first worker starts: what is imported, the files, the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from search.pruning.pruner import build_rule
from search.pruning.spec import PruningSpec
from search.sampling import SamplerSpec, Sampling
from spaces.class_prior import ClassPrior
from spaces.errors import Problem, UserError
from spaces.loss_terms import ImportedLoss
from spaces.space_spec import SpaceSpec

if TYPE_CHECKING:
    from search.sweep_spec import SweepSpec


def import_problems(space: SpaceSpec) -> Iterator[Problem]:
    """Yield what is wrong with users' own losses that the space may propose: import path, parameters.

    The controls hold none.
    """
    if any(space.imported_losses()):
        # Imported here: it pulls torch in, which a sweep of known losses is read without.
        from trainers.losses import check_importable

        yield from _of_each(space, check_importable)


def choice_problems(sampler: SamplerSpec, pruning: PruningSpec, objectives: int) -> Iterator[Problem]:
    """Yield what is wrong with the sampler and the pruner: import path, download, parameters."""
    try:
        Sampling(sampler, 0, objectives).sampler(0)
    except UserError as error:
        yield from error.problems
    try:
        build_rule(pruning)
    except UserError as error:
        yield from error.problems


def check_before_loading(spec: SweepSpec) -> None:
    """Check what shows without decoding an image: imports, folders, pairs, headers.

    Raises:
        UserError: with everything that is wrong.
    """
    from trainers.data.check import check_quick

    problems = [_within_space(problem) for problem in import_problems(spec.space)]
    try:
        check_quick(spec.data)
    except UserError as error:
        problems += error.problems
    if problems:
        raise UserError(problems)


def check_before_training(spec: SweepSpec, prior: ClassPrior, channels: int) -> None:
    """Check what needs the classes and bands: users' own losses compute, the model builds and fits.

    Args:
        spec: the sweep.
        prior: classes and their frequencies in the training masks.
        channels: bands of an image.

    Raises:
        UserError: with everything that is wrong, pretrained weights that can't be loaded included.
    """
    from trainers.losses import rehearse
    from trainers.models import check_model

    tile = spec.data.tile
    problems = [
        _within_space(problem) for problem in _of_each(spec.space, lambda loss: rehearse(loss, prior, tile))
    ]
    try:
        check_model(spec.model, prior, channels, tile)
    except UserError as error:
        problems += error.problems
    if problems:
        raise UserError(problems)


def _of_each(space: SpaceSpec, check: Callable[[ImportedLoss], list[Problem]]) -> Iterator[Problem]:
    seen: set[Problem] = set()
    for key, loss in space.imported_losses():
        for problem in check(loss):
            found = dataclasses.replace(problem, key=f"{key}.{problem.key}")
            if found not in seen:
                yield found
            seen.add(found)


def _within_space(problem: Problem) -> Problem:
    return dataclasses.replace(problem, key=f"space.{problem.key}")
