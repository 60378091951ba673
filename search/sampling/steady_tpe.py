"""TPE whose proposals cost about the same after thousands of trials: the same proposals as Optuna's own.

Optuna's TPE walks through all trials several times for each group of parameters: to find the groups, to split
good from bad, to collect the observations. None of that changes for a trial that has ended. Here each ended
trial is read once into a table, the split is made once a proposal with NumPy, and only the densities,
which are Optuna's, are computed anew. Studies with several objectives fall back on Optuna's own way.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.sampler import default_gamma
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lossweep.search.sampling.tpe_density import Density, Integrals
from lossweep.search.study.record import PAUSED

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

_COMPLETE, _PRUNED, _INFEASIBLE = 1.0, 2.0, 3.0


class TrialTable:
    """The trials of a study as columns, a row a trial, by number.

    Ended trials are read once; a paused one, which is marked, again when it has ended for good.

    Attributes:
        kind: complete, pruned or infeasible; 0 for trials that TPE doesn't look at.
        first: what ranks a trial within its kind, less is better: its value, step or violation.
        second: what breaks ties: a pruned trial's last reported value.
    """

    def __init__(self) -> None:
        self._size = 0
        self._open: list[int] = []
        self._paused: set[int] = set()
        self._columns: dict[str, Floats] = {}
        self.kind: Floats = np.zeros(0)
        self.first: Floats = np.zeros(0)
        self.second: Floats = np.zeros(0)

    def read(self, trials: list[FrozenTrial], sign: float) -> list[FrozenTrial]:
        """Take in what has ended since the last call and return those trials, in order of number."""
        self._grow(len(trials))
        gone_on = {n for n in self._paused if PAUSED not in trials[n].system_attrs}
        for number in gone_on:
            self.kind[number] = 0.0
        unread = (*self._open, *gone_on, *range(self._size, len(trials)))
        fresh = sorted(n for n in unread if trials[n].state.is_finished())
        self._open = sorted(set(unread).difference(fresh))
        self._paused -= gone_on
        self._paused |= {n for n in fresh if PAUSED in trials[n].system_attrs}
        self._size = len(trials)
        for number in fresh:
            for column in self._columns.values():
                column[number] = np.nan  # what it tried while it ran, branches not taken included
            self._rank(trials[number], sign)
            for name, value in trials[number].params.items():
                self.put(number, name, value, trials[number].distributions[name])
        return [trials[n] for n in fresh if trials[n].state is not TrialState.FAIL]

    def unfinished(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """The trials that have not ended."""
        return [trials[number] for number in self._open]

    def put(self, number: int, name: str, value: Any, distribution: BaseDistribution) -> None:
        """Write one parameter of one trial."""
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = np.full(len(self.kind), np.nan)
        column[number] = distribution.to_internal_repr(value)

    def split(self, n_below: int) -> tuple[Rows, Rows]:
        """Return the rows of the good trials and of the others, in order of number, as TPE divides them."""
        below: list[Rows] = []
        above: list[Rows] = []
        for kind in (_COMPLETE, _PRUNED, _INFEASIBLE):
            rows = np.flatnonzero(self.kind[: self._size] == kind)
            ranked = rows[np.lexsort((self.second[rows], self.first[rows]))]
            good = min(max(0, n_below), len(rows))
            n_below -= good
            below.append(ranked[:good])
            above.append(ranked[good:])
        return np.sort(np.concatenate(below)), np.sort(np.concatenate(above))

    def observations(self, rows: Rows, names: Mapping[str, BaseDistribution]) -> dict[str, Floats]:
        """Return the parameters of those rows that have all of them."""
        columns = {name: self._columns[name][rows] for name in names if name in self._columns}
        if len(columns) < len(names):
            return {name: np.zeros(0) for name in names}
        there = np.ones(len(rows), dtype=bool)
        for column in columns.values():
            there &= ~np.isnan(column)
        return {name: column[there] for name, column in columns.items()}

    def _rank(self, trial: FrozenTrial, sign: float) -> None:
        number = trial.number
        violation = sum(v for v in trial.constraints.values() if v > 0)
        if trial.state is TrialState.FAIL:
            return
        if violation > 0:
            self.kind[number], self.first[number] = _INFEASIBLE, violation
        elif trial.state is TrialState.COMPLETE:
            self.kind[number], self.first[number] = _COMPLETE, sign * float(trial.values[0])
        else:
            self.kind[number] = _PRUNED
            self.first[number], self.second[number] = _pruned_rank(trial, sign)

    def _grow(self, size: int) -> None:
        if size <= len(self.kind):
            return
        capacity = max(64, 2 * size)
        self.kind = _widened(self.kind, capacity, 0.0)
        self.first = _widened(self.first, capacity, 0.0)
        self.second = _widened(self.second, capacity, 0.0)
        self._columns = {name: _widened(column, capacity, np.nan) for name, column in self._columns.items()}


class SteadyTPESampler(TPESampler):
    """Optuna's TPE, reseedable, over a `TrialTable`. For one study, and as many threads as one likes."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._lock = threading.RLock()  # over the table and what follows from it
        self._table = TrialTable()
        self._integrals = Integrals()
        self._shapes: set[frozenset[str]] = set()
        self._distributions: dict[str, BaseDistribution] = {}
        self._split: tuple[int, Rows, Rows] | None = None
        self._lied: dict[int, int] = {}
        """How much each running trial had said when it was entered into the table."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock())

    def reseed(self, seed: int) -> None:
        """Start the random state anew."""
        self._rng.rng.seed(seed)
        self._random_sampler._rng.rng.seed(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Read what has ended since the last proposal."""
        super().before_trial(study, trial)
        with self._lock:
            self._split = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters to sample together, as `TPESampler` does."""
        if not self._is_steady(study) or self._group_decomposed_search_space is None:
            return super().infer_relative_search_space(study, trial)
        with self._lock:
            self._rows(study, trial)
            self._search_space_group = self._group_decomposed_search_space._search_space
            return {
                name: distribution
                for group in self._search_space_group.search_spaces
                for name, distribution in sorted(group.items())
                if not distribution.single()
            }

    def _sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not self._is_steady(study):
            return super()._sample_relative(study, trial, search_space)
        if not search_space or self._ended(study, trial) < self._n_startup_trials:
            return {}
        return self._sample(study, trial, search_space)

    def _sample(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not self._is_steady(study):
            return super()._sample(study, trial, search_space)
        with self._lock:
            below, above = (self._density(rows, search_space) for rows in self._rows(study, trial))
        samples = below.sample(self._rng.rng, self._n_ei_candidates)
        chosen = TPESampler._compare(samples, self._compute_acquisition_func(samples, below, above))
        return {
            name: distribution.to_external_repr(chosen[name]) for name, distribution in search_space.items()
        }

    def good(self, ended: int) -> int:
        """How many of so many ended trials count as good ones."""
        return int((self._gamma or default_gamma)(ended))

    def _density(self, rows: Rows, search_space: dict[str, BaseDistribution]) -> Density:
        return Density(
            self._table.observations(rows, search_space),
            search_space,
            self._parzen_estimator_parameters,
            self._integrals,
        )

    def _is_steady(self, study: Study) -> bool:
        return len(study.directions) == 1

    def _ended(self, study: Study, trial: FrozenTrial) -> int:
        with self._lock:
            self._rows(study, trial)
            return int(np.count_nonzero(self._table.kind))

    def _rows(self, study: Study, trial: FrozenTrial) -> tuple[Rows, Rows]:
        """The good and the other trials; running ones are among the others, when the liar is constant.

        Under the lock: a thread's list of trials is older than the table that another one has read by then.
        """
        if self._split is not None and self._split[0] == trial.number:
            return self._split[1:]
        trials = study.get_trials(deepcopy=False)
        sign = -1.0 if study.direction is StudyDirection.MAXIMIZE else 1.0
        for ended in self._table.read(trials, sign):
            shape = frozenset(ended.distributions)
            if self._group_decomposed_search_space is not None and shape not in self._shapes:
                self._shapes.add(shape)  # a known shape divides no group further
                self._group_decomposed_search_space._search_space.add_distributions(ended.distributions)
            self._distributions |= ended.distributions
        below, above = self._table.split(self.good(int(np.count_nonzero(self._table.kind))))
        if self._constant_liar:
            above = np.sort(np.concatenate((above, self._lies(trials, trial.number, study))))
        self._split = (trial.number, below, above)
        return below, above

    def _lies(self, trials: list[FrozenTrial], own: int, study: Study) -> Rows:
        """Enter what running trials try, and return their rows."""
        unfinished = self._table.unfinished(trials)
        running = [t for t in unfinished if t.state is TrialState.RUNNING and t.number != own]
        for trial in running:
            said = len(trial.params) + len(trial.system_attrs)
            if self._lied.get(trial.number) == said:
                continue
            self._lied[trial.number] = said
            # A copy: what a storage in memory lists may be what its thread is adding to at this moment.
            for name, value in self._get_params(trial, study).copy().items():
                distribution = trial.distributions.get(name) or self._distributions[name]
                self._table.put(trial.number, name, value, distribution)
        return np.array([trial.number for trial in running], dtype=np.intp)


def _pruned_rank(trial: FrozenTrial, sign: float) -> tuple[float, float]:
    """Of pruned trials the one that came furthest is best, then the better last value."""
    if not trial.intermediate_values:
        return 1.0, 0.0
    step, value = max(trial.intermediate_values.items())
    return -float(step), math.inf if math.isnan(value) else sign * value


def _widened(column: Floats, capacity: int, fill: float) -> Floats:
    wide = np.full(capacity, fill)
    wide[: len(column)] = column
    return wide
