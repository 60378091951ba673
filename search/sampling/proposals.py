"""Proposes the next schedule, from a mirror of the study in memory, and ahead of time if wished.

Samplers read the whole study for every parameter they suggest. On a database that costs tenths of seconds and
grows with the study; so they read a mirror, and only the finished proposal is written to the database, in one
transaction.
"""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Literal, Protocol, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from lossweep.search.sampling.samplers import SamplerSpec, Sampling
from lossweep.search.study.optuna_private import read_trials_anew, reopen_trial
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.record import (
    CONFIRMS,
    CONSTRAINT_PREFIX,
    CONTROL,
    DIVERGED,
    EXTENDS,
    PAUSED,
    SEED,
    WARM_START,
    Proposal,
    outcome_of,
    schedule_of,
)
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.proposing.control_space import PREFIX as CONTROL_PREFIX
from lossweep.spaces.schedules.schedule import LossSchedule

T = TypeVar("T")
Direction = Literal["maximize", "minimize"]

_PASSING: Final = ("tpe:", "fixed_params")
"""Attributes that samplers leave on a trial only while it is being suggested."""


class Space(Protocol):
    """What may be proposed: `spaces.proposing.schedule_space.ScheduleSpace`."""

    def suggest(self, trial: Any) -> LossSchedule:
        """Return a schedule built from what an Optuna trial suggests."""

    def parameters_of(self, schedule: LossSchedule) -> Mapping[str, Any]:
        """Return the parameters that suggest this schedule; raises UserError or ValueError when none do."""


class Mirror:
    """The study in memory, as samplers see it. Its trials have the numbers they have in the database.

    A sampler that reads completed trials alone would never learn what diverges: to it a diverged trial has
    completed with the worst there is.
    """

    def __init__(self, directions: Sequence[Direction], space: Space, sampling: Sampling) -> None:
        self._space = space
        self._sampling = sampling
        logging.getLogger("optuna.storages._in_memory").setLevel(logging.WARNING)  # "a new study created"
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(
            directions=list(directions),
            storage=self._storage,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        self._id = self._storage.get_study_id_from_name(self._study.study_name)

    def load(self, trials: Sequence[FrozenTrial]) -> None:
        """Copy the trials of the database's study."""
        for trial in trials:
            seen = _searched(trial)
            if seen.state is TrialState.FAIL:
                pass
            elif outcome_of(trial).kind is OutcomeKind.PAUSED:
                reported = seen.intermediate_values
                seen = create_trial(
                    state=TrialState.PRUNED,
                    value=reported[max(reported)] if reported else None,
                    params=seen.params,
                    distributions=seen.distributions,
                    system_attrs={**seen.system_attrs, PAUSED: True},
                    intermediate_values=reported,
                )
            elif self._stands_in(trial.constraints):
                kept = {k: v for k, v in trial.system_attrs.items() if k != f"constraints:{DIVERGED}"}
                seen = create_trial(
                    values=self._worst(),
                    params=seen.params,
                    distributions=seen.distributions,
                    system_attrs=kept,
                )
            self._storage.create_new_trial(self._id, template_trial=seen)

    def propose(self) -> tuple[LossSchedule, FrozenTrial]:
        """Create the next trial here, and return what the sampler suggests for it."""
        number = self._storage.get_n_trials(self._id)
        self._study.sampler = self._sampling.sampler(number)
        return self._suggest(create_trial(state=TrialState.RUNNING))

    def skip(self) -> None:
        """Create a trial here that no sampler looks at, in place of one of the confirmation."""
        self._storage.create_new_trial(self._id, template_trial=create_trial(state=TrialState.FAIL))

    def enter(self, schedule: LossSchedule) -> FrozenTrial:
        """Create a trial of a given schedule here, with its parameters if it is in the space."""
        try:
            parameters = dict(self._space.parameters_of(schedule))
        except (UserError, ValueError):
            trial_id = self._storage.create_new_trial(self._id)
            return self._storage.get_trial(trial_id)
        fixed = create_trial(state=TrialState.RUNNING, system_attrs={"fixed_params": parameters})
        return self._suggest(fixed)[1]

    def again(self, trial: FrozenTrial) -> FrozenTrial:
        """Create a trial here that is suggested what a failed one was."""
        template = create_trial(
            state=TrialState.RUNNING,
            params=trial.params,
            distributions=trial.distributions,
            system_attrs=_lasting(trial),
        )
        return self._storage.get_trial(self._storage.create_new_trial(self._id, template_trial=template))

    def _suggest(self, template: FrozenTrial) -> tuple[LossSchedule, FrozenTrial]:
        read_trials_anew(self._study)
        trial_id = self._storage.create_new_trial(self._id, template_trial=template)
        schedule = self._space.suggest(optuna.Trial(self._study, trial_id))
        return schedule, self._storage.get_trial(trial_id)

    def set_state(self, number: int, state: TrialState) -> None:
        """Let a trial wait or run."""
        self._reopen(number)
        self._storage.set_trial_state_values(self._trial_id(number), state)

    def pause(self, number: int, reported: Mapping[int, float], violations: Mapping[str, float]) -> None:
        """Let samplers see a trial as pruned until it runs again or ends. They are not told: it may run."""
        trial_id = self._trial_id(number)
        self._write(trial_id, reported, violations)
        self._storage.set_trial_system_attr(trial_id, PAUSED, True)
        value = (reported[max(reported)],) if reported else None
        self._storage.set_trial_state_values(trial_id, TrialState.PRUNED, value)

    def finish(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None,
        reported: Mapping[int, float],
        violations: Mapping[str, float],
    ) -> None:
        """End a trial as it ended in the database, and let the sampler know."""
        self._reopen(number)
        trial_id = self._trial_id(number)
        if self._stands_in(violations):
            state, values = TrialState.COMPLETE, self._worst()
            violations = {name: value for name, value in violations.items() if name != DIVERGED}
        self._write(trial_id, reported, violations)
        complete = list(values) if values is not None and state is TrialState.COMPLETE else None
        self._study.tell(optuna.Trial(self._study, trial_id), complete, state=state)

    def _write(self, trial_id: int, reported: Mapping[int, float], violations: Mapping[str, float]) -> None:
        trial = optuna.Trial(self._study, trial_id)
        for name, violation in violations.items():
            trial.set_constraint(name, violation)
        for step, value in reported.items():
            self._storage.set_trial_intermediate_value(trial_id, step, value)

    def _reopen(self, number: int) -> None:
        """Let a paused trial run, as far as samplers can see, so that it may end another way."""
        trial_id = self._trial_id(number)
        held = self._storage.get_trial(trial_id).system_attrs
        if PAUSED in held:
            # Optuna sets a constraint once: what was violated by then is not what will be.
            drop = (PAUSED, CONSTRAINT_PREFIX)
            reopen_trial(self._storage, trial_id, {k: v for k, v in held.items() if not k.startswith(drop)})

    def _stands_in(self, violations: Mapping[str, float]) -> bool:
        return self._sampling.reads_completed_only and DIVERGED in violations

    def _worst(self) -> list[float]:
        """The worst that each metric may be: those to maximize are shares, errors have no upper end."""
        done = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [
            0.0
            if direction is optuna.study.StudyDirection.MAXIMIZE
            else max(1.0, *(trial.values[metric] for trial in done), 1.0)
            for metric, direction in enumerate(self._study.directions)
        ]

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)


class Proposer:
    """Proposes trials one after another; prepares the next one in a thread while trials train.

    Everything that touches the mirror is done in the order it was asked for, on one thread, so that what is
    proposed follows from the order of events and not from how long a proposal takes. A proposal prepared
    ahead knows what had happened up to the ask before it; running trials are known as such.

    Args:
        directions: of the objective's metrics.
        space: what may be proposed.
        spec: the sampler.
        seed: the sweep's.
        trials: of the study so far.
    """

    def __init__(
        self,
        directions: Sequence[Direction],
        space: Space,
        spec: SamplerSpec,
        seed: int,
        trials: Sequence[FrozenTrial],
    ) -> None:
        self._mirror = Mirror(directions, space, Sampling(spec, seed, len(directions), space))
        self._mirror.load(trials)
        self._thread = ThreadPoolExecutor(1, "proposer") if spec.ahead else None
        self._ahead: Future[tuple[LossSchedule, FrozenTrial]] | None = None
        self._pending: Proposal | None = None
        self._orders: deque[Future[None]] = deque()

    def next(self, seed: int) -> Proposal:
        """Return the next proposal. Asked again before `taken`, it returns the same one."""
        if self._pending is None:
            ahead, self._ahead = self._ahead or self._submit(self._mirror.propose), None
            schedule, trial = ahead.result()
            self._pending = _proposal(trial, schedule, seed, None)
        self._raise()
        return self._pending

    def enter(self, schedule: LossSchedule, seed: int, control: str | None) -> Proposal:
        """Return the proposal of a given schedule, such as a control; the same one until it is `taken`."""
        if self._pending is None:
            trial = self._submit(lambda: self._mirror.enter(schedule)).result()
            self._pending = _proposal(trial, schedule, seed, control)
        return self._pending

    def again(self, trial: FrozenTrial) -> Proposal:
        """Return a failed trial as a proposal: its schedule, seed and parameters; likewise until `taken`."""
        if self._pending is None:
            seen = _searched(trial)
            self._submit(lambda: self._mirror.again(seen)).result()
            self._pending = Proposal(
                schedule=schedule_of(trial),
                seed=trial.user_attrs[SEED],
                control=trial.user_attrs.get(CONTROL),
                warm_start=trial.user_attrs.get(WARM_START),
                retries=trial.number,
                parameters=trial.params,
                distributions=trial.distributions,
                system_attributes=_lasting(trial),
            )
        return self._pending

    def skip(self) -> None:
        """A trial that is none of the search's was written to the database: here it has its number alone."""
        self._order(self._mirror.skip)

    def taken(self, prepare: bool) -> None:
        """The proposal was written to the database; with ``prepare``, begin with another one."""
        self._pending = None
        if prepare and self._thread is not None:
            self._ahead = self._submit(self._mirror.propose)

    def set_state(self, number: int, state: TrialState) -> None:
        """Let a trial wait or run."""
        self._order(lambda: self._mirror.set_state(number, state))

    def pause(self, number: int, reported: Mapping[int, float], violations: Mapping[str, float]) -> None:
        """Let samplers see a trial as pruned until it runs again or ends."""
        self._order(lambda: self._mirror.pause(number, reported, violations))

    def finish(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None,
        reported: Mapping[int, float],
        violations: Mapping[str, float],
    ) -> None:
        """End a trial."""
        self._order(lambda: self._mirror.finish(number, state, values, reported, violations))

    def close(self) -> None:
        """Let the thread go."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        if self._thread is not None:
            return self._thread.submit(work)
        future: Future[T] = Future()
        future.set_result(work())
        return future

    def _order(self, work: Callable[[], None]) -> None:
        self._orders.append(self._submit(work))
        self._raise()

    def _raise(self) -> None:
        """Raise what went wrong on the thread, rather than lose it."""
        while self._orders and self._orders[0].done():
            self._orders.popleft().result()


def _searched(trial: FrozenTrial) -> FrozenTrial:
    """A trial as the sampler of the proposals sees it: without what another search asked for."""
    if trial.user_attrs.keys() & {CONFIRMS, EXTENDS}:
        return create_trial(state=TrialState.FAIL)
    if not any(name.startswith(CONTROL_PREFIX) for name in trial.params):
        return trial
    return with_parameters(trial, lambda name: not name.startswith(CONTROL_PREFIX))


def with_parameters(trial: FrozenTrial, wanted: Callable[[str], bool]) -> FrozenTrial:
    """Return a trial with some of its parameters only."""
    kept = copy.copy(trial)
    kept.params = {name: value for name, value in trial.params.items() if wanted(name)}
    kept.distributions = {name: value for name, value in trial.distributions.items() if wanted(name)}
    return kept


def _proposal(trial: FrozenTrial, schedule: LossSchedule, seed: int, control: str | None) -> Proposal:
    return Proposal(
        schedule=schedule,
        seed=seed,
        control=control,
        parameters=trial.params,
        distributions=trial.distributions,
        system_attributes=_lasting(trial),
    )


def _lasting(trial: FrozenTrial) -> dict[str, Any]:
    """What a sampler knows a trial by."""
    return {key: value for key, value in trial.system_attrs.items() if not key.startswith(_PASSING)}


def drawn_at_random(space: Space, draws: int) -> list[dict[str, BaseDistribution]]:
    """Return the distributions met in some random draws from a space."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    met = []
    for _ in range(draws):
        trial = study.ask()
        space.suggest(trial)
        met.append(dict(trial.distributions))
        study.tell(trial, state=TrialState.FAIL)
    return met
