"""Whether what a sweep file names by import path can be imported and built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from lossweep.search.pruning.pruner import build_rule
from lossweep.search.pruning.spec import PruningSpec
from lossweep.search.sampling import SamplerSpec, Sampling
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.terms import ImportedLoss
from lossweep.spaces.metric_names import OWN
from lossweep.spaces.proposing.space_spec import SpaceSpec
from lossweep.trainers.guards.own import check_own
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec
from lossweep.trainers.scoring.objectives import ObjectiveSpec


def import_problems(space: SpaceSpec) -> Iterator[Problem]:
    """Yield what is wrong with users' own losses that the space may propose: import path, parameters.

    The controls hold none.
    """
    if any(space.imported_losses()):
        # Imported here: it pulls torch in, which a sweep of known losses is read without.
        from lossweep.trainers.losses import check_importable

        yield from of_each_import(space, check_importable)


def metric_problems(
    measure: MeasureSpec, objective: ObjectiveSpec, pruning: PruningSpec, space: SpaceSpec
) -> Iterator[Problem]:
    """Yield what is wrong with users' own metrics, by the keys of the sweep file: import path, direction."""
    if any(own_metrics(measure, objective, pruning, space)):
        # Imported here, as in `import_problems`.
        from lossweep.trainers.metrics.own import check_own_metric

        for key, name in own_metrics(measure, objective, pruning, space):
            for problem in check_own_metric(name):
                yield dataclasses.replace(problem, key=key)


def own_metrics(
    measure: MeasureSpec, objective: ObjectiveSpec, pruning: PruningSpec, space: SpaceSpec
) -> Iterator[tuple[str, str]]:
    """Yield the users' own metrics that a sweep goes by or measures beside, with the keys they stand at."""
    named = [
        *((f"measure.own[{index}]", name) for index, name in enumerate(measure.own)),
        *((f"objective.{key}", name) for key, name in objective.named.items()),
        ("pruning.metric", pruning.metric or ""),
        *((f"space.{key}", name) for key, name in space.waited_for()),
    ]
    return ((key, name) for key, name in named if OWN.fullmatch(name))


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


def guard_problems(guards: GuardSpec) -> Iterator[tuple[str, Problem]]:
    """Yield what is wrong with users' own guards: a guard's import path, and a problem counted from it."""
    for path, parameters in guards.own.items():
        for problem in check_own(path, parameters):
            yield path, problem


def of_each_import(space: SpaceSpec, check: Callable[[ImportedLoss], list[Problem]]) -> Iterator[Problem]:
    """Yield what a check says of each of the user's own losses, by key, once."""
    seen: set[Problem] = set()
    for key, loss in space.imported_losses():
        for problem in check(loss):
            found = dataclasses.replace(problem, key=f"{key}.{problem.key}")
            if found not in seen:
                yield found
            seen.add(found)
