"""The roll of a sweep's trials: how each of them stands, and of which kind it is."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.record import CONFIRMS, CONTROL, EXTENDS, Proposal, outcome_of


class Roll:
    """The trials by number. Whoever writes how one stands to the database notes it here.

    Args:
        trials: of the study so far.

    Attributes:
        kinds: how each trial stands.
        confirms: numbers of the trials of the confirmation.
        extends: numbers of the trials that extend another one.
        controls: numbers of the controls.
    """

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        self.kinds = {trial.number: outcome_of(trial).kind for trial in trials}
        self.confirms = {t.number for t in trials if CONFIRMS in t.user_attrs}
        self.extends = {t.number for t in trials if EXTENDS in t.user_attrs}
        self.controls = {t.number for t in trials if t.user_attrs.get(CONTROL) is not None}

    @property
    def searched(self) -> list[int]:
        """Numbers of the trials of the search, in order."""
        return sorted(self.kinds.keys() - self.outside)

    @property
    def outside(self) -> set[int]:
        """Numbers of the trials that are none of the search: not pruned, and learned from by no sampler."""
        return self.confirms | self.extends

    @property
    def running(self) -> tuple[int, ...]:
        """Numbers of the trials that run."""
        return self._of(OutcomeKind.RUNNING)

    @property
    def interrupted(self) -> tuple[int, ...]:
        """Numbers of the trials that are to go on."""
        return self._of(OutcomeKind.INTERRUPTED)

    @property
    def paused(self) -> tuple[int, ...]:
        """Numbers of the trials that go on if their peers turn out no better."""
        return self._of(OutcomeKind.PAUSED)

    @property
    def searching(self) -> bool:
        """Whether a trial of the search runs."""
        return not self.outside.issuperset(self.running)

    def group(self, number: int) -> str:
        """What such trials are called, in the plural: controls, proposals, confirmations or extensions."""
        if number in self.outside:
            return "confirmations" if number in self.confirms else "extensions"
        return "controls" if number in self.controls else "proposals"

    def enter(self, number: int, proposal: Proposal) -> None:
        """A proposal that is none of the search's was written under this number."""
        (self.confirms if proposal.confirms is not None else self.extends).add(number)

    def _of(self, wanted: OutcomeKind) -> tuple[int, ...]:
        return tuple(number for number, kind in self.kinds.items() if kind is wanted)
