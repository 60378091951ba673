"""A space fitted to a budget and to the data's classes: asks for schedules, and gives parameters back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.files.numbers import number
from lossweep.spaces.losses.one_line import loss_text
from lossweep.spaces.metric_names import higher_is_better
from lossweep.spaces.proposing.distributions import (
    C,
    Choice,
    Outside,
    Parameters,
    Range,
    TrialLike,
    Usual,
    Value,
    Words,
    ends,
    nearest_values,
    parameters_of,
    suggest,
    usual_of,
)
from lossweep.spaces.proposing.lengths import length_of, most_cycles
from lossweep.spaces.proposing.space_spec import PhaseSpace, Preset, SpaceSpec, UntilSpace, preset_space
from lossweep.spaces.schedules.schedule import LossSchedule, Phase, Until

__all__ = ["Preset", "ScheduleSpace", "SpaceSpec", "TrialLike", "preset_space"]


class ScheduleSpace:
    """All schedules that a sweep may propose.

    Every parameter is named by phase, and by loss where the loss has a say (``phase0.focal.gamma``,
    ``phase0.focal.learning_rate``), so that an optimizer never takes one loss's rate for another's.

    Args:
        spec: the space as the user wrote it.
        epochs: the budget of a trial; every schedule fits it and carries it.
        prior: classes and their frequencies in the training masks.

    Raises:
        UserError: when the space doesn't fit the classes or the budget.
    """

    def __init__(self, spec: SpaceSpec, epochs: int, prior: ClassPrior) -> None:
        problems = list(spec.check(prior.names))
        if epochs < 1:
            problems.append(Problem("a trial trains at least one epoch", key="epochs", found=str(epochs)))
        self.spec, self.epochs, self.prior = spec.spelled_out(), epochs, prior
        self._phases: tuple[PhaseSpace, ...] = self.spec.phases or ()
        self._cycles = self._fitted(problems)
        if problems:
            raise UserError(problems)

    def _fitted(self, problems: list[Problem]) -> int | Range | Choice:
        """The cycles that the budget holds."""
        most = most_cycles(len(self._phases), self.epochs)
        cycles = 1 if self.spec.cycles is None else self.spec.cycles
        if isinstance(cycles, Range):
            fitted: Sequence[int] = range(
                int(cycles.low), min(int(cycles.high), most) + 1, int(cycles.step or 1)
            )
        else:
            written = cycles.choice if isinstance(cycles, Choice) else (cycles,)
            fitted = [each for each in written if isinstance(each, int) and each <= most]
        if not fitted:
            count = len(self._phases)
            problems.append(
                Problem(
                    f"{self.epochs} epochs hold at most {most} cycles of {count} phase{'s' * (count > 1)}",
                    key="cycles",
                    found=str(cycles),
                    allowed=f"at most {most}",
                )
            )
            return 1
        if isinstance(cycles, Range):
            usual = tuple(each for each in cycles.usual if each <= fitted[-1])
            return cycles.model_copy(update={"high": fitted[-1], "usual": usual})
        if isinstance(cycles, Choice):
            cycles = cycles.model_copy(
                update={"usual": tuple(each for each in cycles.usual if each in fitted)}
            )
        return cycles.model_copy(update={"choice": tuple(fitted)}) if isinstance(cycles, Choice) else cycles

    def suggest(self, trial: TrialLike) -> LossSchedule:
        """Ask for one schedule. It carries the budget, and its cycles fit it.

        Args:
            trial: an Optuna trial, or anything that answers alike.
        """
        cycles = int(suggest(self._cycles, trial, "cycles", whole=True))
        spaces = self._phases if cycles else self._phases[:1]
        length = self.epochs // max(cycles, 1)
        phases: list[Phase] = []
        taken = 0
        for index, space in enumerate(spaces):
            after = len(spaces) - 1 - index
            epochs = length - taken
            if after:
                share = float(suggest(space.share, trial, f"phase{index}.share"))
                epochs = length_of(share, length, taken, after)
            taken += epochs
            final = not after and cycles < 2
            alone = final and len(spaces) == 1
            phases.append(self._suggest_phase(trial, space, f"phase{index}", epochs, final, alone))
        return LossSchedule(phases=tuple(phases), cycles=max(cycles, 1), epochs=self.epochs)

    def _suggest_phase(
        self, trial: TrialLike, space: PhaseSpace, name: str, epochs: int, final: bool, alone: bool
    ) -> Phase:
        """Ask for one phase; the ``final`` one goes on to the end of the budget: no metric ends it."""
        shape, shape_name = _shape(space, name, alone)
        labels = space.labels()
        label = trial.suggest_categorical(f"{name}.loss", labels) if len(labels) > 1 else labels[0]
        loss = space.losses[labels.index(label)]
        rate = space.learning_rate if loss.learning_rate is None else loss.learning_rate
        until = None
        if (ending := _ending(space, epochs, final)) is not None:
            until = _suggest_until(ending, trial, f"{name}.until", epochs)
        return Phase(
            loss=loss.suggest(trial, f"{name}.{label}", self.prior),
            learning_rate=float(suggest(rate, trial, f"{name}.{label}.learning_rate")),
            epochs=epochs if until is None else None,
            until=until,
            shape=suggest(shape, trial, shape_name),
            warmup_steps=suggest(space.warmup_steps, trial, f"{name}.warmup_steps", whole=True),
            keep_moments=suggest(space.keep_moments, trial, f"{name}.keep_moments"),
        )

    def usual(self) -> Usual:
        """Where good values usually lie, by parameter, as the space says: a hint for the first proposals."""
        found = usual_of(self._cycles, "cycles", whole=True)
        for index, space in enumerate(self._phases):
            name = f"phase{index}"
            if index + 1 < len(self._phases):
                found |= usual_of(space.share, f"{name}.share")
            for label, loss in zip(space.labels(), space.losses, strict=True):
                rate = space.learning_rate if loss.learning_rate is None else loss.learning_rate
                found |= loss.usual_values(f"{name}.{label}", self.prior)
                found |= usual_of(rate, f"{name}.{label}.learning_rate")
                if loss.usual and len(space.losses) > 1:
                    found[f"{name}.loss"] = (*found.get(f"{name}.loss", ()), label)
            if (until := space.until) is not None:
                found |= usual_of(until.use, f"{name}.until")
                found |= usual_of(until.metric, f"{name}.until.metric")
                found |= usual_of(until.at_least, f"{name}.until.at_least")
                found |= usual_of(until.back_margin, f"{name}.until.back_margin")
            found |= usual_of(space.shape, f"{name}.shape")
            found |= usual_of(space.alone_shape, f"{name}.alone_shape")
            found |= usual_of(space.warmup_steps, f"{name}.warmup_steps", whole=True)
            found |= usual_of(space.keep_moments, f"{name}.keep_moments")
        return found

    def parameters_of(self, schedule: LossSchedule) -> Parameters:
        """The parameters for which `suggest` returns exactly this schedule: the inverse of `suggest`.

        Args:
            schedule: with the space's budget of epochs, or without one.

        Raises:
            UserError: when the schedule isn't in the space.
        """
        if schedule.epochs not in (None, self.epochs):
            raise UserError(
                Problem(
                    "the schedule is of another budget",
                    key="epochs",
                    found=str(schedule.epochs),
                    allowed=str(self.epochs),
                )
            )
        wanted = schedule.with_budget(self.epochs)
        reasons: list[str] = []
        for cycles in self._cycles_of(wanted):
            try:
                return self._parameters(wanted, cycles)
            except Outside as outside:
                reasons.append(str(outside))
        count = len(wanted.unrolled())
        reason = "; ".join(dict.fromkeys(reasons)) or f"{count} phases are no number of its cycles"
        raise UserError(Problem(f"the schedule is not in the space: {reason}", found=str(schedule)))

    def refitted(self, schedule: LossSchedule) -> LossSchedule:
        """The same losses and rates with lengths that fit this space, for another sweep's winner to start it.

        Cycles are kept as far as the budget holds them, and each phase gets the space's share nearest to its
        own. Whether the outcome is in the space, `parameters_of` tells.

        Args:
            schedule: of any budget, with as many phases a cycle as the space, or one phase.
        """
        phases = schedule.unrolled()
        cycles = len(phases) // len(self._phases)
        held = [each for each in self._numbers_of_cycles() if each <= cycles]
        if not held or len(phases) % max(len(self._phases) * cycles, 1):
            return schedule
        cycles = held[-1]
        spaces = self._phases if cycles else self._phases[:1]
        written = phases[: len(spaces)]
        length = self.epochs // max(cycles, 1)
        total = sum(phase.most_epochs for phase in written)
        fitted: list[Phase] = []
        taken = 0
        for index, (space, phase) in enumerate(zip(spaces, written, strict=True)):
            after = len(spaces) - 1 - index
            epochs = length - taken
            if after:
                share = nearest_values(space.share, phase.most_epochs / total)[0]
                epochs = length_of(share, length, taken, after)
            taken += epochs
            fitted.append(_refitted(space, phase, epochs, final=not after and cycles < 2))
        return LossSchedule(phases=tuple(fitted), cycles=max(cycles, 1), epochs=self.epochs)

    @property
    def branch_epochs(self) -> frozenset[int]:
        """Epochs at which the first phase may end: where schedules of the space that begin alike part.

        Where a metric may end it, that is any epoch from the least on.
        """
        space, found = self._phases[0], set[int]()
        for cycles in self._numbers_of_cycles():
            length = self.epochs // max(cycles, 1)
            after = len(self._phases) - 1 if cycles else 0
            if after:
                shares = [float(share) for share in ends(space.share)]
                shortest, *_, longest = sorted(length_of(share, length, 0, after) for share in shares * 2)
                between = range(shortest, longest + 1)
                found |= {epochs for epochs in between if self._has_length(space, epochs, length, after)}
        if space.until is not None and found:
            found |= set(range(space.until.least, max(found) + 1))
        return frozenset(found)

    @staticmethod
    def _has_length(space: PhaseSpace, epochs: int, cycle: int, after: int) -> bool:
        """Whether some share of the first phase gives it so many epochs of a cycle."""
        return any(
            length_of(share, cycle, 0, after) == epochs
            for share in nearest_values(space.share, epochs / cycle)
        )

    def _numbers_of_cycles(self) -> list[int]:
        """The numbers of cycles in the space, rising."""
        cycles = self._cycles
        if isinstance(cycles, Range):
            return list(range(int(cycles.low), int(cycles.high) + 1, int(cycles.step or 1)))
        written = cycles.choice if isinstance(cycles, Choice) else (cycles,)
        return sorted(each for each in written if isinstance(each, int))

    def _cycles_of(self, schedule: LossSchedule) -> Iterator[int]:
        """The numbers of cycles that give this many phases."""
        count = len(schedule.unrolled())
        if count % len(self._phases) == 0:
            yield count // len(self._phases)
        if count == 1:
            yield 0

    def _parameters(self, schedule: LossSchedule, cycles: int) -> Parameters:
        found = _named(self._cycles, cycles, "cycles", whole=True)
        spaces = self._phases if cycles else self._phases[:1]
        length = self.epochs // max(cycles, 1)
        taken = 0
        for index, (space, phase) in enumerate(zip(spaces, schedule.unrolled(), strict=False)):
            after = len(spaces) - 1 - index
            epochs = phase.most_epochs
            if after:
                found |= _share(space, f"phase{index}.share", epochs, length, taken, after)
            taken += epochs
            final = not after and cycles < 2
            alone = final and len(spaces) == 1
            found |= self._parameters_of_phase(space, phase, f"phase{index}", final, alone)
        # What was read off is asked for again: whatever no parameter speaks of has to come out right as well.
        again = self.suggest(_Answers(found))
        if again != schedule:
            raise Outside(f"the nearest one in it is {again}")
        return found

    def _parameters_of_phase(
        self, space: PhaseSpace, phase: Phase, name: str, final: bool, alone: bool
    ) -> Parameters:
        shape, shape_name = _shape(space, name, alone)
        labels = space.labels()
        reasons: list[str] = []
        for label, loss in zip(labels, space.losses, strict=True):
            own = f"{name}.{label}"
            rate = space.learning_rate if loss.learning_rate is None else loss.learning_rate
            try:
                found: Parameters = {f"{name}.loss": label} if len(labels) > 1 else {}
                found |= loss.parameters_of(phase.loss, own, self.prior)
                if loss.suggest(_Answers(found), own, self.prior) != phase.loss:
                    raise Outside(f"{name}.loss: {loss_text(phase.loss)} is not in the space's {label}")
                found |= _named(rate, phase.learning_rate, f"{own}.learning_rate")
            except Outside as outside:
                if loss.label in phase.loss_name:
                    reasons.append(str(outside))
                continue
            if (ending := _ending(space, phase.most_epochs, final)) is not None:
                found |= _until_parameters(ending, phase, f"{name}.until")
            found |= _named(shape, phase.shape, shape_name)
            found |= _named(space.warmup_steps, phase.warmup_steps, f"{name}.warmup_steps", whole=True)
            return found | _named(space.keep_moments, phase.keep_moments, f"{name}.keep_moments")
        among = f"{name}.loss: {loss_text(phase.loss)} is not among {', '.join(labels)}"
        raise Outside("; ".join(reasons) or among)


def _named(spread: object, value: object, name: str, *, whole: bool = False) -> Parameters:
    """`parameters_of`, naming the parameter when the value is outside."""
    try:
        return dict(parameters_of(spread, value, name, whole=whole))
    except Outside as outside:
        raise Outside(f"{name}: {outside}") from None


def _share(space: PhaseSpace, name: str, epochs: int, cycle: int, taken: int, after: int) -> Parameters:
    """The share that gives a phase its epochs."""
    for share in nearest_values(space.share, epochs / cycle):
        if length_of(share, cycle, taken, after) == epochs:
            return dict(parameters_of(space.share, share, name))
    raise Outside(f"{name}: no share of a cycle of {cycle} epochs gives a phase of {epochs}")


def _shape(space: PhaseSpace, name: str, alone: bool) -> tuple[Words, str]:
    """The shape of a phase, and what the parameter is called; one that stands alone may have its own."""
    if alone and space.alone_shape is not None:
        return space.alone_shape, f"{name}.alone_shape"
    return space.shape, f"{name}.shape"


def _ending(space: PhaseSpace, epochs: int, final: bool) -> UntilSpace | None:
    """How the phase may end by a metric, if it may: one as short as its least length has no earlier end."""
    until = space.until
    return until if until is not None and epochs > until.least and not final else None


def _suggest_until(space: UntilSpace, trial: TrialLike, name: str, most: int) -> Until | None:
    if not suggest(space.use, trial, name):
        return None
    metric = str(suggest(space.metric, trial, f"{name}.metric"))
    level = float(suggest(space.at_least, trial, f"{name}.at_least"))
    margin = suggest(space.back_margin, trial, f"{name}.back_margin")
    back = None if margin is None else _behind(metric, level, float(margin))
    return Until(metric=metric, at_least=level, epochs=(space.least, most), back_below=back)


def _behind(metric: str, level: float, margin: float) -> float:
    """The level that is worse by a margin."""
    return round(level - margin if higher_is_better(metric) else level + margin, 9)


def _until_parameters(space: UntilSpace, phase: Phase, name: str) -> Parameters:
    """The inverse of `_suggest_until`."""
    until = phase.until
    if until is None:
        return dict(_named(space.use, False, name))
    found = dict(_named(space.use, True, name))
    found |= _named(space.metric, until.metric, f"{name}.metric")
    found |= _named(space.at_least, until.at_least, f"{name}.at_least")
    if until.back_below is None:
        return found | _named(space.back_margin, None, f"{name}.back_margin")
    wanted = abs(until.at_least - until.back_below)
    for margin in nearest_values(space.back_margin, wanted):
        if _behind(until.metric, until.at_least, margin) == until.back_below:
            return found | _named(space.back_margin, margin, f"{name}.back_margin")
    raise Outside(f"{name}.back_margin: {number(wanted)} is not {space.back_margin}")


def _refitted(space: PhaseSpace, phase: Phase, epochs: int, final: bool) -> Phase:
    """A phase of another length; one that ended by a metric does so still, where the space can."""
    ending = _ending(space, epochs, final)
    if phase.until is None or ending is None:
        return phase.model_copy(update={"until": None, "epochs": epochs})
    until = phase.until.model_copy(update={"epochs": (ending.least, epochs)})
    return phase.model_copy(update={"until": until, "epochs": None})


class _Answers:
    """Answers a space's questions from known parameters."""

    def __init__(self, parameters: Mapping[str, Value]) -> None:
        self._parameters = parameters

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value = self._parameters.get(name)
        if isinstance(value, bool) or not isinstance(value, float | int):
            raise Outside(f"{name} is not known")
        return float(value)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self.suggest_float(name, low, high))

    def suggest_categorical(self, name: str, choices: Sequence[C]) -> C:
        for choice in choices:
            if name in self._parameters and choice == self._parameters[name]:
                return choice
        raise Outside(f"{name} is not known")
