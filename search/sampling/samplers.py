"""Which sampler proposes the next schedule, and how its randomness follows from the sweep's seed."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
)
from pydantic import Field, field_validator, model_validator

from lossweep.search.sampling.cost_aware.drawing import Suggesting
from lossweep.search.sampling.hub import HUB, SPELLING, load_from_hub
from lossweep.search.sampling.tpe import cost_aware, reseed, tpe
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.terms import Frozen
from lossweep.spaces.seeds import short_seed
from lossweep.trainers.imports import load_object

NAMED: Final = ("tpe", "cost_aware", "random", "gp", "cmaes", "nsga2", "nsga3")


TPE: Final = {"multivariate": True, "group": True, "constant_liar": True}


class SamplerSpec(Frozen):
    """What stands under ``sampler:``.

    Attributes:
        sampler: ``tpe``, ``cost_aware`` (TPE by what a schedule promises for each epoch that it still costs,
            where the space's hints count at first), ``random``, ``gp``, ``cmaes``, ``nsga2``, ``nsga3``,
            ``package.module:Class`` of an Optuna sampler, or ``hub:samplers/NAME`` from OptunaHub; see
            `search.sampling.hub`.
        startup: proposals at random before TPE, GP or CMA-ES model anything.
        ahead: prepare the next proposal while trials train. It then knows every result up to the previous
            ask.
        parameters: further keyword arguments of the sampler.
        registry: a folder of OptunaHub packages to take a ``hub:`` sampler from, in place of the network;
            relative to the sweep file.
    """

    sampler: str = "tpe"
    startup: int = Field(default=10, ge=1)
    ahead: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)
    registry: str | None = None

    @field_validator("sampler")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in NAMED and ":" not in name:
            allowed = f"{', '.join(NAMED)}, package.module:Class, {SPELLING}"
            raise ValueError(f"unknown sampler {name!r}; allowed: {allowed}")
        return name

    @model_validator(mode="after")
    def _own_parameters(self) -> Self:
        clash = sorted({"seed", "n_startup_trials"} & self.parameters.keys())
        if clash:
            raise ValueError(f"{clash} follow from the sweep's seed and from startup; leave them out")
        if self.registry is not None and not self.sampler.startswith(HUB):
            raise ValueError(f"a registry holds samplers named hub:..., but got {self.sampler!r}")
        return self

    def resolve(self, base: Path) -> Self:
        """Return this with ``registry`` made absolute; a relative one starts at ``base``."""
        if self.registry is None:
            return self
        return self.model_copy(update={"registry": str((base / Path(self.registry).expanduser()).resolve())})


class Sampling:
    """The sampler of a sweep, its randomness derived from the sweep's seed and the number of trials so far.

    A sampler's own random state is not kept in the study, so one that is merely seeded would replay its start
    after a resume. ``random`` and ``tpe`` are reseeded for every trial from (seed, number): with ``random``
    the list of schedules is the same whatever was interrupted. The others are built once a driver, from
    (seed, trials so far).

    Args:
        spec: which sampler.
        seed: the sweep's.
        objectives: how many metrics are optimized.
        space: what schedules are drawn from, for samplers that look at whole schedules.
    """

    def __init__(
        self, spec: SamplerSpec, seed: int, objectives: int, space: Suggesting | None = None
    ) -> None:
        self._spec = spec
        self._space = space
        self._seed = seed
        self._objectives = objectives
        self._sampler: BaseSampler | None = None

    @property
    def reads_completed_only(self) -> bool:
        """Whether the sampler takes no notice of pruned trials, which diverged ones are to Optuna."""
        return self._spec.sampler in ("gp", "cmaes", "nsga2", "nsga3")

    def sampler(self, number: int) -> BaseSampler:
        """Return the sampler that is to propose the trial with this number.

        Raises:
            UserError: when it cannot be imported or built.
        """
        seed = short_seed(self._seed, "sampler", number)
        if self._spec.sampler == "random":
            return RandomSampler(seed=seed)
        again = self._spec.sampler in ("tpe", "cost_aware")
        if self._sampler is None or (again and not reseed(self._sampler, seed)):
            self._sampler = self._build(seed)
        return self._sampler

    def _build(self, seed: int) -> BaseSampler:
        startup = {"n_startup_trials": self._spec.startup}
        parameters = self._spec.parameters
        with (
            warnings.catch_warnings()
        ):  # "experimental" is for us to know, not for the person who runs a sweep
            warnings.simplefilter("ignore", ExperimentalWarning)
            try:
                match self._spec.sampler:
                    case "tpe":
                        return tpe(**(TPE | startup | parameters), seed=seed)
                    case "cost_aware":
                        return cost_aware(self._space, **(TPE | startup | parameters), seed=seed)
                    case "gp":
                        return GPSampler(
                            **({"deterministic_objective": False} | startup | parameters), seed=seed
                        )
                    case "cmaes":
                        quiet = {"warn_independent_sampling": False}
                        return CmaEsSampler(**(quiet | startup | parameters), seed=seed)
                    case "nsga2":
                        return NSGAIISampler(**parameters, seed=seed)
                    case "nsga3":
                        return NSGAIIISampler(**parameters, seed=seed)
                    case path:
                        return self._imported(path, seed)
            except UserError:
                raise
            except Exception as error:  # an imported one may raise whatever it likes
                hint = f"{type(error).__name__}: {error}"
                problem = Problem(
                    "cannot be built", key="sampler.parameters", found=str(parameters), hint=hint
                )
                raise UserError(problem) from error

    def _imported(self, path: str, seed: int) -> BaseSampler:
        key = "sampler.sampler"
        kind = (
            load_from_hub(path, key, self._spec.registry) if path.startswith(HUB) else load_object(path, key)
        )
        if not (isinstance(kind, type) and issubclass(kind, BaseSampler)):
            raise UserError(Problem("is not an Optuna sampler", key=key, found=repr(path)))
        seeded = {"seed": seed} if "seed" in inspect.signature(kind).parameters else {}
        return kind(**self._spec.parameters, **seeded)


def check_sampler(
    spec: SamplerSpec, objectives: int, distributions: Sequence[Mapping[str, BaseDistribution]]
) -> list[Problem]:
    """Return why this sampler does not fit this sweep, if so.

    Args:
        spec: the sampler.
        objectives: how many metrics are optimized.
        distributions: of some schedules drawn at random from the space, by parameter.
    """
    problems = []
    if spec.sampler == "cmaes":
        names = {frozenset(drawn) for drawn in distributions}
        categorical = sorted(
            {n for drawn in distributions for n, d in drawn.items() if isinstance(d, CategoricalDistribution)}
        )
        if len(names) > 1 or categorical:
            why = f"choices {', '.join(categorical)}" if categorical else "parameters that depend on others"
            problems.append(
                Problem(
                    "CMA-ES needs a space of numbers that are always there",
                    key="sampler.sampler",
                    found=why,
                    hint="use tpe, or fix these in the space",
                )
            )
        if objectives > 1:
            problems.append(
                Problem("CMA-ES optimizes one metric", key="sampler.sampler", hint="use tpe or nsga2")
            )
    return problems
