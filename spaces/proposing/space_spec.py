"""A space as a user writes it under ``space:``: a preset with changes, or spelled out loss by loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from lossweep.spaces.files.errors import Problem, nearest, refused
from lossweep.spaces.files.validation import problems_of
from lossweep.spaces.files.yaml_source import parse_yaml, validate
from lossweep.spaces.losses.terms import Frozen, ImportedLoss, Loss
from lossweep.spaces.metric_names import canonical_metric
from lossweep.spaces.proposing.distributions import Choice, Counts, Flags, Numbers, Range, Words, ends
from lossweep.spaces.proposing.loss_space import LossSpace, check_numbers
from lossweep.spaces.schedules.fit import metric_misfits
from lossweep.spaces.schedules.schedule import SHAPES

Preset = Literal["single", "focal", "cycling", "everything"]
PRESETS: tuple[Preset, ...] = get_args(Preset)


class UntilSpace(Frozen):
    """A switch by metric: whether, at which level, with which way back. The phase's length is its most.

    Attributes:
        use: true to end the phase by the metric, false by its length; a choice of both lets the search tell.
        metric: one of `spaces.metric_names`.
        at_least: the level that ends the phase.
        least: the least epochs of the phase; a phase no longer than that ends by its length.
        back_margin: how far the metric may get worse than ``at_least`` in the next phase before training goes
            back; null for no way back.
    """

    use: Flags = Field(
        default=True, description="end by the metric (true), by length (false), or a choice of both"
    )
    metric: Words = Field(description="a validation metric")
    at_least: Numbers = Field(description="the level that ends the phase")
    least: int = Field(default=1, ge=1, description="the least epochs of the phase")
    back_margin: Numbers | None = Field(
        default=None, description="go back when the metric gets worse than at_least by more than this"
    )

    @field_validator("metric")
    @classmethod
    def _canonical(cls, metric: Words) -> Words:
        if isinstance(metric, Choice):
            return Choice(choice=tuple(dict.fromkeys(canonical_metric(str(each)) for each in metric.choice)))
        return canonical_metric(metric)

    @model_validator(mode="after")
    def _check(self) -> UntilSpace:
        check_numbers(self.at_least, "at_least", low=float("-inf"), high=float("inf"))
        for margin in ends(self.back_margin):
            if margin is not None:
                check_numbers(margin, "back_margin", low=0.0, high=float("inf"))
        return self


class PhaseSpace(Frozen):
    """One phase: which losses it may train with, and how.

    Attributes:
        losses: the losses to choose from.
        learning_rate: for the losses that give none of their own.
        share: of the cycle's epochs; the last phase of a cycle takes what the others leave.
        until: an end by metric.
        shape: constant, cosine or drop.
        alone_shape: the same where the phase is the whole schedule (``cycles: 0``); ``shape`` when left out.
        warmup_steps: of linear rise.
        keep_moments: at the switch into the phase.
    """

    losses: Annotated[tuple[LossSpace, ...], Field(min_length=1)] = Field(description="to choose from")
    learning_rate: Numbers | None = Field(default=None, description="a number or a distribution")
    share: Numbers = Field(default=0.5, description="of the cycle's epochs; the last phase takes the rest")
    until: UntilSpace | None = Field(default=None, description="an end by metric")
    shape: Words = Field(default="constant", description="constant, cosine or drop")
    alone_shape: Words | None = Field(
        default=None, description="the shape where the phase is the whole schedule; shape when left out"
    )
    warmup_steps: Counts = Field(default=0, description="steps of linear rise at the phase's start")
    keep_moments: Flags = Field(default=True, description="keep the optimizer's moments at the switch")

    @model_validator(mode="after")
    def _check(self) -> PhaseSpace:
        _check_settings(self)
        return self

    def labels(self) -> tuple[str, ...]:
        """One word for each loss, numbered where several are called alike."""
        words = [loss.label for loss in self.losses]
        return tuple(
            word if words[:index].count(word) == 0 else f"{word}{words[:index].count(word) + 1}"
            for index, word in enumerate(words)
        )


class SpaceSpec(Frozen):
    """What a sweep may propose: a preset with changes, or phases spelled out; by default ``cycling``.

    Attributes:
        preset: a space that comes with lossweep.
        phases: the phases of one cycle, spelled out, instead of a preset.
        cycles: how often the phases are repeated; 0 trains the first phase alone. Fitted to the budget.
        learning_rate: of all phases that give none of their own; with a preset, of all its phases.
        refine_learning_rate: with a preset, of the phases after the first.
        losses: with a preset, the only losses to keep, by term (``cross_entropy_dice`` for a sum).
        parameters: with a preset, changes to the losses' parameters, by term:
            ``{focal: {gamma: {low: 1, high: 3}}}``.
        until: with a preset, how its first phases end; false ends all by length.
        share: with a preset, the first phase's share of a cycle.
        shape: with a preset, of all phases.
        warmup_steps: with a preset, of all phases.
        keep_moments: with a preset, of all phases.
    """

    preset: Preset | None = None
    phases: Annotated[tuple[PhaseSpace, ...], Field(min_length=1)] | None = None
    cycles: Counts | None = None
    learning_rate: Numbers | None = None
    refine_learning_rate: Numbers | None = None
    losses: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    parameters: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    until: UntilSpace | Literal[False] | None = None
    share: Numbers | None = None
    shape: Words | None = None
    warmup_steps: Counts | None = None
    keep_moments: Flags | None = None

    @model_validator(mode="after")
    def _check(self) -> SpaceSpec:
        if self.cycles is not None:
            check_counts(self.cycles, "cycles", least=0)
        _check_settings(self)
        if self.refine_learning_rate is not None:
            check_numbers(self.refine_learning_rate, "refine_learning_rate", low=0.0, high=10.0)
        if self.phases is None:
            self._changed()
            return self
        if self.preset is not None:
            raise refused("a space is a preset or spelled out, not both", key="phases", hint="remove preset")
        for name in (*_CHANGES, "refine_learning_rate", "losses"):
            if getattr(self, name) is not None:
                raise refused(
                    "changes a preset; in a space spelled out it stands in the phases",
                    key=name,
                    allowed="cycles, learning_rate, phases",
                )
        if self.parameters:
            raise refused("changes a preset; here, write them at the losses", key="parameters")
        for index, phase in enumerate(self.phases):
            bare = [loss.label for loss in phase.losses if loss.learning_rate is None]
            if bare and phase.learning_rate is None and self.learning_rate is None:
                raise refused(
                    f"no learning rate for {', '.join(bare)}",
                    key=f"phases[{index}].learning_rate",
                    found="nothing",
                    allowed="a number, or {low, high, log, levels}, at the loss, the phase or the space",
                )
        return self

    def spelled_out(self) -> SpaceSpec:
        """The same space with its phases spelled out, each with its learning rate."""
        if self.phases is None:
            return self._changed()
        phases = tuple(
            phase.model_copy(update={"learning_rate": self.learning_rate})
            if phase.learning_rate is None
            else phase
            for phase in self.phases
        )
        return SpaceSpec(phases=phases, cycles=1 if self.cycles is None else self.cycles)

    def _changed(self) -> SpaceSpec:
        """The preset with this spec's changes."""
        preset = preset_space(self.preset or "cycling")
        known = {label for phase in preset.phases or () for label in phase.labels()}
        for key, names in (("losses", self.losses or ()), ("parameters", tuple(self.parameters))):
            for index, name in enumerate(names):
                if name not in known:
                    raise refused(
                        f"the preset has no loss {name!r}",
                        key=f"{key}[{index}]" if key == "losses" else f"{key}.{name}",
                        found=name,
                        allowed=", ".join(sorted(known)),
                        hint=nearest(name, sorted(known)),
                    )
        phases = tuple(self._changed_phase(phase, index) for index, phase in enumerate(preset.phases or ()))
        return SpaceSpec(phases=phases, cycles=preset.cycles if self.cycles is None else self.cycles)

    def _changed_phase(self, phase: PhaseSpace, index: int) -> PhaseSpace:
        changes: dict[str, Any] = {
            name: getattr(self, name) for name in _CHANGES if getattr(self, name) is not None
        }
        if self.until is not None and phase.until is not None:
            changes["until"] = self.until or None
        else:
            changes.pop("until", None)
        if self.shape is not None:
            changes["alone_shape"] = None  # said of all phases, it is said of one that stands alone, too
        rate = self.learning_rate
        if index > 0 and self.refine_learning_rate is not None:
            rate = self.refine_learning_rate
        if rate is not None:
            changes["learning_rate"] = rate
        if "share" in changes and index > 0:
            del changes["share"]
        kept = [
            self._changed_loss(loss, label)
            for loss, label in zip(phase.losses, phase.labels(), strict=True)
            if self.losses is None or label in self.losses
        ]
        if not kept:
            raise refused(
                f"phase {index} of the preset is left without a loss",
                key="losses",
                allowed=f"at least one of {', '.join(phase.labels())}",
            )
        return phase.model_copy(update={**changes, "losses": tuple(kept)})

    def _changed_loss(self, loss: LossSpace, label: str) -> LossSpace:
        if label not in self.parameters:
            return loss
        try:
            return LossSpace.model_validate({**(loss.model_extra or {}), **self.parameters[label]})
        except ValidationError as error:
            problem = problems_of(error, LossSpace)[0]
            raise refused(
                problem.message,
                key=f"parameters.{label}.{problem.key}",
                found=problem.found,
                allowed=problem.allowed,
                hint=problem.hint,
            ) from None

    def check(self, classes: Sequence[str]) -> tuple[Problem, ...]:
        """What doesn't fit the data's classes: class weights of another length, metrics of unknown classes.

        Args:
            classes: the class names, background first.
        """
        return tuple(self._misfits(tuple(classes)))

    def _misfits(self, classes: tuple[str, ...]) -> Iterator[Problem]:
        for index, phase in enumerate(self.phases or ()):
            for each, loss in enumerate(phase.losses):
                yield from loss.misfits(classes, f"phases[{index}].losses[{each}]")
        for label, changes in self.parameters.items():
            changed = LossSpace.model_validate({"term": label, **changes}) if "weights" in changes else None
            yield from changed.misfits(classes, f"parameters.{label}") if changed else ()
        for key, metric in self.waited_for():
            yield from metric_misfits(metric, classes, key)

    def waited_for(self) -> Iterator[tuple[str, str]]:
        """Yield the metrics that a phase may wait for as the space spells them out, with their keys."""
        untils = [(f"phases[{index}].until", phase.until) for index, phase in enumerate(self.phases or ())]
        for key, until in (*untils, ("until", self.until)):
            for metric in ends(until.metric) if isinstance(until, UntilSpace) else ():
                yield f"{key}.metric", str(metric)

    def imported_losses(self) -> Iterator[tuple[str, ImportedLoss]]:
        """Yield the user's own losses that schedules of the space may hold, with the keys they stand at."""
        for index, phase in enumerate(self.phases or ()):
            for each, loss in enumerate(phase.losses):
                yield from loss.imported(f"phases[{index}].losses[{each}]")

    def possible_losses(self) -> Iterator[Loss]:
        """Yield losses that schedules of the space may hold, each kind of them and the ends of its ranges."""
        for phase in self.spelled_out().phases or ():
            for loss in phase.losses:
                yield from loss.corners()

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that any schedule of the space may wait for: what an evaluation has to measure."""
        phases = self.spelled_out().phases or ()
        return frozenset(
            str(metric) for phase in phases if phase.until for metric in ends(phase.until.metric)
        )


_CHANGES = ("until", "share", "shape", "warmup_steps", "keep_moments")
"""What a preset's phases take over from a spec as it is."""


def _check_settings(spec: PhaseSpace | SpaceSpec) -> None:
    """Check what a phase and the changes to all phases have in common."""
    if spec.learning_rate is not None:
        check_numbers(spec.learning_rate, "learning_rate", low=0.0, high=10.0)
    if spec.share is not None:
        check_numbers(spec.share, "share", low=0.0, high=1.0)
    if spec.warmup_steps is not None:
        check_counts(spec.warmup_steps, "warmup_steps", least=0)
    shapes = [("shape", each) for each in ends(spec.shape)]
    if isinstance(spec, PhaseSpace):
        shapes += [("alone_shape", each) for each in ends(spec.alone_shape)]
    for key, shape in shapes:
        if shape is not None and shape not in SHAPES:
            hint = nearest(str(shape), SHAPES)
            raise refused("unknown shape", key=key, found=str(shape), allowed=", ".join(SHAPES), hint=hint)
    for keep in ends(spec.keep_moments):
        if keep is not None and not isinstance(keep, bool):
            raise refused("is not true or false", key="keep_moments", allowed="true, false")


def check_counts(spread: int | Range | Choice, key: str, *, least: int) -> None:
    """Refuse a distribution that holds anything but whole numbers of at least ``least``."""
    whole = not isinstance(spread, Range) or spread.is_whole
    for value in ends(spread):
        if not whole or isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise refused("is out of range", key=key, allowed=f"whole numbers >= {least}")


@cache
def preset_space(name: Preset) -> SpaceSpec:
    """Read a preset, spelled out."""
    resource = files("lossweep.spaces.proposing.presets").joinpath(f"{name}.yaml")
    spec = validate(SpaceSpec, parse_yaml(resource.read_text(encoding="utf-8"), f"{name}.yaml"))
    return spec.spelled_out()
