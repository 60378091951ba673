"""The search stage of a sweep: what is proposed next, by whom, and who learns how it ended."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from optuna.trial import FrozenTrial, TrialState

from lossweep.search.conducting.epoch_budget import EpochBudget
from lossweep.search.conducting.settings import SearchSettings
from lossweep.search.conducting.turns import Turn, TurnKind, next_turn
from lossweep.search.sampling.control_proposals import ControlProposer
from lossweep.search.sampling.proposals import Proposer
from lossweep.search.study.record import CONFIRMS, CONTROL, EXTENDS, RETRIES, SEED, WARM_START, Proposal
from lossweep.spaces.schedules.controls import PLAIN, named_controls
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.seeds import short_seed
from lossweep.trainers.evaluation import Evaluation


class Searching:
    """Proposes the trials of the search.

    Args:
        settings: of the search.
        trials: of the study so far, those that are none of the search included.
        best_plain: gives the best plain cross-entropy found so far, or a sensible one.
        epochs: of the search, where it refills its budget.
        rejected: how many proposals of the study were rejected before training.
    """

    def __init__(
        self,
        settings: SearchSettings,
        trials: Sequence[FrozenTrial],
        best_plain: Callable[[], LossSchedule],
        epochs: EpochBudget,
        rejected: int = 0,
    ) -> None:
        self._settings = settings
        self._best_plain = best_plain
        self._budget = epochs
        for retried in (trial.user_attrs.get(RETRIES) for trial in trials):
            if retried is not None:
                self._budget.forgive(retried)
        searched = [t for t in trials if not t.user_attrs.keys() & {CONFIRMS, EXTENDS}]
        counted = [t for t in searched if RETRIES not in t.user_attrs]
        self._names = [t.user_attrs.get(CONTROL) for t in counted]
        self._given_back = 0
        for _ in range(rejected):
            self.give_back()
        self._common = short_seed(settings.seed, "search")
        # A sweep begun before seeds were common goes on with a seed a trial.
        self._own_seeds = not settings.common_seed or any(t.user_attrs[SEED] != self._common for t in counted)
        self._warmed = sum(WARM_START in t.user_attrs for t in counted)
        self._failed: deque[FrozenTrial] = deque()
        self._outside = {t.number for t in trials} - {t.number for t in searched}
        directions, seed = settings.objective.directions, settings.seed
        self._proposer = Proposer(directions, settings.space, settings.sampler, seed, trials)
        self._control: ControlProposer | None = None
        if (search := settings.control_search) is not None:
            plain = [t for t in searched if t.user_attrs.get(CONTROL) == PLAIN]
            self._control = ControlProposer(directions, search.space, search.sampler, seed, plain)

    @property
    def started(self) -> int:
        """Trials of the search that were started and count; one that is tried again is the same."""
        return len(self._names)

    @property
    def over(self) -> bool:
        """Whether its budget is spent, and no trial is to be tried again."""
        if self._failed:
            return False
        return self.spent if self._settings.refill else self.started >= self._settings.trials

    @property
    def spent(self) -> bool:
        """Whether its budget is one of epochs, and none of them is left: paused trials cannot go on."""
        return self._settings.refill and self._budget.over

    def try_again(self, failed: FrozenTrial) -> None:
        """Let a failed trial come again, before anything is proposed; it does not count a second time."""
        self._failed.append(failed)

    def next(self, number: int) -> Proposal:
        """Return the proposal of the trial that will have this number; the same one until it is `taken`."""
        if self._failed:
            return self._retry(self._failed[0])
        seed = self._seed_of(number)
        turn = self._turn()
        match turn.kind:
            case TurnKind.PROPOSAL:
                return self._proposer.next(seed)
            case TurnKind.SEARCHED:
                return self._next_plain(seed)
            case TurnKind.WARM_START:
                return self._former_winner(seed, turn.index or 0)
            case TurnKind.NAMED:
                known = named_controls(self._best_plain(), self._epochs())
                schedule = next(found for name, found in known.items() if name == turn.name)
            case TurnKind.OWN:
                schedule = self._settings.controls[turn.name or ""]
        return self._proposer.enter(schedule, seed, turn.name or "")

    def taken(self, proposal: Proposal, number: int) -> None:
        """A proposal was written to the database under this number."""
        if proposal.retries is not None:
            self._failed.popleft()
            self._budget.forgive(proposal.retries)
        else:
            self._names.append(proposal.control)
            self._warmed += proposal.warm_start is not None
        if self._control is not None and proposal.control == PLAIN:
            self._control.taken(number)
        prepare = not self._failed and not self.over and self._turn().kind is TurnKind.PROPOSAL
        self._proposer.taken(prepare)

    def give_back(self) -> None:
        """Count a proposal that was rejected before training no more, so that another takes its place.

        As often as the budget has trials, and no more: a space of nothing else ends as well.
        """
        if self._given_back < self._settings.trials:
            self._given_back += 1
            self._names.remove(None)

    def skip(self, number: int) -> None:
        """A trial that is none of the search's was written under this number."""
        self._outside.add(number)
        self._proposer.skip()

    def takes(self, number: int, evaluation: Evaluation) -> None:
        """A trial has come so far."""
        self._budget.takes(number, evaluation)

    def set_state(self, number: int, state: TrialState) -> None:
        """Let a trial wait or run."""
        if number in self._outside:
            return
        self._proposer.set_state(number, state)
        if self._control is not None and self._control.proposed(number):
            self._control.set_state(number, state)

    def pause(self, number: int, reported: Mapping[int, float], violations: Mapping[str, float]) -> None:
        """Let the samplers see a trial as pruned until it runs again or ends."""
        self._proposer.pause(number, reported, violations)
        if self._control is not None and self._control.proposed(number):
            self._control.pause(number, reported, violations)

    def finish(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None,
        reported: Mapping[int, float],
        violations: Mapping[str, float],
    ) -> None:
        """End a trial, and let the samplers know."""
        if number in self._outside:
            return
        self._proposer.finish(number, state, values, reported, violations)
        if self._control is not None and self._control.proposed(number):
            self._control.finish(number, state, values, reported, violations)

    def close(self) -> None:
        """End the proposing thread."""
        self._proposer.close()

    def _seed_of(self, number: int) -> int:
        """What a trial trains with: one seed for all, unless each has its own."""
        return short_seed(self._settings.seed, "trial", number) if self._own_seeds else self._common

    def _turn(self) -> Turn:
        return next_turn(self._settings, self._names, self._warmed)

    def _retry(self, failed: FrozenTrial) -> Proposal:
        if self._control is not None and failed.user_attrs.get(CONTROL) == PLAIN:
            self._control.again(failed)
        return self._proposer.again(failed)

    def _former_winner(self, seed: int, index: int) -> Proposal:
        """A former winner, with its parameters where it is in the space: the sampler learns from it."""
        proposal = self._proposer.enter(self._settings.warm_start[index], seed, None)
        return dataclasses.replace(proposal, warm_start=index)

    def _next_plain(self, seed: int) -> Proposal:
        assert self._control is not None
        schedule, parameters, distributions = self._control.next()
        proposal = self._proposer.enter(schedule, seed, PLAIN)
        return Proposal(
            schedule=schedule,
            seed=seed,
            control=PLAIN,
            parameters={**proposal.parameters, **parameters},
            distributions={**proposal.distributions, **distributions},
            system_attributes=proposal.system_attributes,
        )

    def _epochs(self) -> int:
        return self._best_plain().budget
