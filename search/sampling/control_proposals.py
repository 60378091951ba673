"""Proposes the next plain cross-entropy: the control is a search of its own, over a small space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from lossweep.search.sampling.proposals import Direction, Mirror, with_parameters
from lossweep.search.sampling.samplers import SamplerSpec, Sampling
from lossweep.search.study.record import RETRIES, schedule_of
from lossweep.spaces.proposing.control_space import PREFIX
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.seeds import short_seed

SPREAD = 8
"""So many first proposals are spread over the rates; the sampler takes over then.

From fewer, a model of the rates keeps to the best of few: with four, eight trials came no nearer to the best
than four did (docs/benchmarks.md)."""


class ControlProposals(Protocol):
    """What may be proposed: `spaces.proposing.control_space.ControlSpace`."""

    def suggest(self, trial: Any) -> LossSchedule:
        """Return a schedule built from what an Optuna trial suggests."""

    def parameters_of(self, schedule: LossSchedule) -> Mapping[str, Any]:
        """Return the parameters that suggest this schedule."""

    def starts(self) -> Iterator[LossSchedule]:
        """Yield schedules to begin with."""


class ControlProposer:
    """Proposes plain cross-entropies one after another, by a mirror that holds nothing but them.

    Args:
        directions: of the objective's metrics.
        space: what may be proposed.
        spec: the sampler.
        seed: the sweep's.
        trials: those that were proposed here so far, in order.
    """

    def __init__(
        self,
        directions: Sequence[Direction],
        space: ControlProposals,
        spec: SamplerSpec,
        seed: int,
        trials: Sequence[FrozenTrial],
    ) -> None:
        sampling = Sampling(spec, short_seed(seed, "control"), len(directions))
        self._mirror = Mirror(directions, space, sampling)
        self._mirror.load([with_parameters(trial, lambda name: name.startswith(PREFIX)) for trial in trials])
        self._place = {trial.number: place for place, trial in enumerate(trials)}
        self._starts = tuple(space.starts())[:SPREAD]
        self._retries = sum(RETRIES in trial.user_attrs for trial in trials)
        self._pending: tuple[LossSchedule, FrozenTrial] | None = None

    def next(self) -> tuple[LossSchedule, Mapping[str, Any], Mapping[str, BaseDistribution]]:
        """Return the next schedule with its parameters; the same one until it is `taken`."""
        if self._pending is None:
            place = len(self._place) - self._retries
            if place < len(self._starts):
                schedule = self._starts[place]
                self._pending = schedule, self._mirror.enter(schedule)
            else:
                self._pending = self._mirror.propose()
        schedule, trial = self._pending
        return schedule, trial.params, trial.distributions

    def again(self, failed: FrozenTrial) -> None:
        """Let the next trial here be a failed one, tried again; likewise until it is `taken`."""
        if self._pending is None:
            trial = self._mirror.again(with_parameters(failed, lambda name: name.startswith(PREFIX)))
            self._pending = schedule_of(failed), trial
            self._retries += 1

    def taken(self, number: int) -> None:
        """The proposal was written to the database under this number."""
        self._place[number] = len(self._place)
        self._pending = None

    def proposed(self, number: int) -> bool:
        """Whether a trial was proposed here."""
        return number in self._place

    def set_state(self, number: int, state: TrialState) -> None:
        """Let a trial wait or run."""
        self._mirror.set_state(self._place[number], state)

    def pause(self, number: int, reported: Mapping[int, float], violations: Mapping[str, float]) -> None:
        """Let the sampler see a trial as pruned until it runs again or ends."""
        self._mirror.pause(self._place[number], reported, violations)

    def finish(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None,
        reported: Mapping[int, float],
        violations: Mapping[str, float],
    ) -> None:
        """End a trial, and let the sampler know."""
        self._mirror.finish(self._place[number], state, values, reported, violations)
