"""The TPE of a sweep: the steady one, or Optuna's own where the private parts that it needs are gone."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from optuna.samplers import BaseSampler, TPESampler

from lossweep.search.sampling.cost_aware.drawing import Suggesting
from lossweep.search.study.optuna_private import missing_tpe_parts

if TYPE_CHECKING:  # it builds on private parts of Optuna, which may be gone
    from lossweep.search.sampling.steady_tpe import SteadyTPESampler

log = logging.getLogger(__name__)


def tpe(**parameters: Any) -> TPESampler:
    """Return a TPE sampler with these parameters. Either one proposes the same; one is slower."""
    steady = _steady()
    return TPESampler(**parameters) if steady is None else steady(**parameters)


def cost_aware(space: Suggesting | None, **parameters: Any) -> TPESampler:
    """Return a TPE sampler that weighs gain by cost over a space; plain TPE without one, or its parts.

    Raises:
        ValueError: for a share that is none.
    """
    for name in ("fresh", "random"):
        if not 0.0 <= (share := parameters.get(name, 0.0)) <= 1.0:
            raise ValueError(f"{name} must be a share from 0 to 1, but got {share}")
    if space is None or _steady() is None:
        own = ("fresh", "random", "shared", "foresight", "prior")
        return tpe(**{name: value for name, value in parameters.items() if name not in own})
    from lossweep.search.sampling.cost_aware.sampler import CostAwareSampler

    return CostAwareSampler(space, **parameters)


def reseed(sampler: BaseSampler, seed: int) -> bool:
    """Start a sampler's random state anew; False when it can't be, and has to be built anew instead."""
    steady = _steady()
    if steady is None or not isinstance(sampler, steady):
        return False
    sampler.reseed(seed)
    return True


@functools.cache  # so that the warning is given once
def _steady() -> type[SteadyTPESampler] | None:
    gone = missing_tpe_parts()
    if gone:
        log.warning(
            "This Optuna lacks parts that the faster TPE builds on (%s): its own TPE is used, "
            "whose proposals take longer the more trials there are.",
            ", ".join(gone),
        )
        return None
    from lossweep.search.sampling.steady_tpe import SteadyTPESampler

    return SteadyTPESampler
