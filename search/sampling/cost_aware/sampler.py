"""TPE that weighs what a schedule promises against the epochs that it still costs.

After EEIPU (Essofi et al., arXiv 2411.03731): expected improvement per unit of what is left to pay when the
first stages of a pipeline are kept. Here the stages are epochs, their cost is known, and the expected
improvement is TPE's, which is proportional to 1 / (gamma + (1 - gamma) g(x) / l(x)) (Bergstra et al., 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from lossweep.search.sampling.cost_aware.densities import Densities
from lossweep.search.sampling.cost_aware.drawing import Drawn, Suggesting, draw, head_of
from lossweep.search.sampling.cost_aware.prior import fading, prior_of
from lossweep.search.sampling.cost_aware.trained import Trained
from lossweep.search.sampling.steady_tpe import Rows, SteadyTPESampler

FRESH: Final = 4
"""Candidates that TPE samples anew."""
BRANCHES: Final = 6
"""Candidates that go on from a good trial's first phases."""
EXTENSIONS: Final = 2
"""Candidates that do what a good trial does in more or fewer cycles."""
PARENTS: Final = 6
"""So many of the best trials may be gone on from."""
PATIENCE: Final = 16
"""Draws after which a proposal that was made before is made again."""


class CostAwareSampler(SteadyTPESampler):
    """See the module. With several objectives it samples as TPE does.

    Args:
        space: what schedules are drawn from.
        fresh: the least share of proposals that are sampled anew, so that the search doesn't grow narrow.
        random: the least share that are drawn at random.
        shared: whether prefixes are kept; without that every schedule costs its whole budget.
        foresight: whether a candidate's cost is what trainings that came as far have trained further, on the
            mean, rather than all that is left of the budget.
        prior: whether to heed what the space says of where good values usually lie.
        parameters: of `SteadyTPESampler`.
    """

    def __init__(
        self,
        space: Suggesting,
        *,
        fresh: float = 0.25,
        random: float = 0.1,
        shared: bool = True,
        foresight: bool = True,
        prior: bool = True,
        **parameters: Any,
    ) -> None:
        super().__init__(**parameters)
        self._space = space
        self._floor, self._random, self._shared, self._foresight = fresh, random, shared, foresight
        self._trained = Trained(space)
        self._prior = prior_of(space if prior else None)
        self._chosen: Drawn | None = None
        self._dice = np.random.RandomState(0)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Choose a whole schedule, and return the distributions of its parameters."""
        inferred = super().infer_relative_search_space(study, trial)
        if not self._is_steady(study):
            return inferred
        self._chosen = self._choose(study, trial)
        return dict(self._chosen.distributions)

    def _sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not self._is_steady(study) or self._chosen is None:
            return super()._sample_relative(study, trial, search_space)
        return dict(self._chosen.parameters)

    def _choose(self, study: Study, trial: FrozenTrial) -> Drawn:
        self._trained.read(study.get_trials(deepcopy=False), trial.number)
        at_random = self._answer_at_random(study, trial)
        ended = self._ended(study, trial)
        # Of a stream of its own: those of TPE and of the random sampler are seeded alike.
        self._dice = np.random.RandomState(self._rng.rng.randint(2**31))
        dice = self._dice.random_sample()
        if dice < self._random:
            return self._unseen(lambda: draw(self._space, at_random))
        if ended < self._n_startup_trials:
            usual = self._prior.answer(self._dice, at_random)
            return self._unseen(lambda: draw(self._space, usual))
        below, above = self._rows(study, trial)
        densities = Densities(
            self._search_space_group.search_spaces if self._search_space_group else (),
            lambda good, names: self._density(below if good else above, dict(names)),
            self._rng.rng,
            self._n_ei_candidates,
            FRESH + BRANCHES + EXTENSIONS,
        )

        def sampled(turn: int) -> Callable[[str, BaseDistribution], Any]:
            def answer(name: str, distribution: BaseDistribution) -> Any:
                value = densities.value(turn, name, distribution)
                return at_random(name, distribution) if value is None else value

            return answer

        candidates = [draw(self._space, sampled(turn)) for turn in range(FRESH)]
        if self._shared and dice >= self._random + self._floor:
            candidates += self._going_on(self._parents(), lambda turn: sampled(FRESH + turn))
        candidates = [each for each in candidates if not self._trained.holds(each.schedule)]
        if not candidates:
            return self._unseen(lambda: draw(self._space, at_random))
        share = len(below) / max(1, len(below) + len(above))
        gains = 1.0 / (share + (1.0 - share) * np.exp(np.clip(-densities.ratio(candidates), -50.0, 50.0)))
        gains *= np.exp(fading(ended) * np.array([self._prior.log_ratio(each) for each in candidates]))
        return candidates[int(np.argmax(gains / [self._cost(each) for each in candidates]))]

    def _cost(self, drawn: Drawn) -> float:
        """The epochs that a candidate still has to train."""
        start = self._trained.prefix(drawn.schedule) if self._shared else 0
        if self._foresight:
            return self._trained.to_come(drawn.schedule, start)
        return float(drawn.schedule.budget - start)

    def _parents(self) -> list[Drawn]:
        """The best trials' schedules, the best one first."""
        ended = int(np.count_nonzero(self._table.kind))
        good, _ = self._table.split(max(PARENTS, self.good(ended)))
        ranked: Rows = good[np.lexsort((self._table.first[good], self._table.kind[good]))]
        found = (self._trained.drawn(int(number)) for number in ranked)
        return [drawn for drawn in found if drawn is not None][:PARENTS]

    def _going_on(
        self, parents: list[Drawn], sampled: Callable[[int], Callable[[str, BaseDistribution], Any]]
    ) -> Iterator[Drawn]:
        """Yield schedules that begin as good ones did."""
        for turn in range((BRANCHES + EXTENSIONS) if parents else 0):
            parent = parents[int(len(parents) * self._dice.random_sample() ** 2)]
            kept = self._kept(parent) if turn < BRANCHES else _longer(parent)
            candidate = draw(self._space, _from(kept, sampled(turn)))
            if self._trained.prefix(candidate.schedule):
                yield candidate

    def _kept(self, parent: Drawn) -> Mapping[str, Any]:
        """The parameters of a parent's first phases, of as many as the dice say, but never of all."""
        heads = parent.heads()
        if len(heads) < 2:
            return {}
        until = 1 + self._dice.randint(len(heads) - 1)
        return {name: value for name, value in parent.parameters.items() if head_of(name) in heads[:until]}

    def _unseen(self, drawing: Callable[[], Drawn]) -> Drawn:
        """Draw until something new comes, for a while."""
        for _ in range(PATIENCE):
            drawn = drawing()
            if not self._trained.holds(drawn.schedule):
                return drawn
        return drawn

    def _answer_at_random(self, study: Study, trial: FrozenTrial) -> Callable[[str, BaseDistribution], Any]:
        return lambda name, distribution: self._random_sampler.sample_independent(
            study, trial, name, distribution
        )


def _longer(parent: Drawn) -> Mapping[str, Any]:
    """All of a parent's parameters but how often its phases are repeated and how long they are."""
    return {
        name: value
        for name, value in parent.parameters.items()
        if name != "cycles" and not name.endswith(".share")
    }


def _from(
    kept: Mapping[str, Any], other: Callable[[str, BaseDistribution], Any]
) -> Callable[[str, BaseDistribution], Any]:
    """Answer with what is kept where it is allowed, and from elsewhere else."""

    def answer(name: str, distribution: BaseDistribution) -> Any:
        if name in kept and distribution._contains(distribution.to_internal_repr(kept[name])):
            return kept[name]
        return other(name, distribution)

    return answer
