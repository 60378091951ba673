"""What a sweep has to beat, ``controls:`` of the sweep file, and how a winner is confirmed, ``confirm:``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from lossweep.search.sampling import SamplerSpec
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.terms import Frozen
from lossweep.spaces.proposing.distributions import Range
from lossweep.spaces.schedules.controls import CONTROLS, NAMED, Named
from lossweep.spaces.schedules.schedule import SHAPES, LossSchedule, Shape
from lossweep.spaces.schedules.schedule_file import read_schedule
from lossweep.trainers.plan import TrainingSpec


class Baseline(Frozen):
    """A baseline of the user's: what they train today. A schedule alone stands for one without ``training``.

    Attributes:
        schedule: a schedule file, a schedule on one line, or one written out.
        training: how it is trained, where otherwise than the sweep's trials; what it leaves out is theirs.
    """

    schedule: str | LossSchedule
    training: TrainingSpec | None = None

    def resolve(self, base: Path, epochs: int, training: TrainingSpec) -> Baseline:
        """Return this with its schedule read, and its training settings put over those of the sweep.

        Raises:
            UserError: when the schedule cannot be read.
        """
        schedule = read_schedule(self.schedule, base).model_copy(update={"epochs": epochs})
        own = self.training
        if own is not None:
            own = training.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})
        return Baseline(schedule=schedule, training=own)


def _alone(data: Any) -> Any:
    """Let a schedule stand for a baseline that is trained as the sweep's trials are."""
    written_out = isinstance(data, dict) and "phases" in data
    return {"schedule": data} if written_out or isinstance(data, str | LossSchedule) else data


class ControlSpec(Frozen):
    """What stands under ``controls:``; a list there is that of ``own``.

    Plain cross-entropy is searched, by its own sampler, over its rate, the shape of its rate and a warm-up: a
    lead over a control at a rate that nobody chose may be the rate's alone.

    Attributes:
        search: whether plain cross-entropy is searched. Without, it is only what the space proposes.
        share: of the trials that go to that search. With a quarter the control comes as near to its best as
            the proposals come to theirs, or nearer, and more would gain next to nothing (docs/benchmarks.md).
        at_least: trials it gets before anything else, but never more than half of all.
        learning_rate: the rates; by default all that the space allows its first phase.
        shapes: how the rate may run.
        warmup_steps: of linear rise.
        sampler: what proposes after the first eight, which are spread over the rates.
        named: further controls, trained once at the rate, shape and warm-up found for plain cross-entropy.
        own: the user's own baselines by name; they are trained as they stand, and the best of them stands
            beside the best plain cross-entropy as the control. Without ``search`` they stand in its place.
    """

    search: bool = True
    share: float = Field(default=0.25, ge=0.0, le=1.0)
    at_least: int = Field(default=4, ge=1)
    learning_rate: Range | None = None
    shapes: Annotated[tuple[Shape, ...], Field(min_length=1)] = SHAPES
    warmup_steps: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 50)
    sampler: SamplerSpec = SamplerSpec(startup=4)
    named: tuple[Named, ...] = NAMED
    own: Mapping[
        str,
        Annotated[Baseline, BeforeValidator(_alone, json_schema_input_type=str | LossSchedule | Baseline)],
    ] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, data: Any) -> Any:
        listed = data.get("own") if isinstance(data, dict) else data
        if not isinstance(listed, list | tuple):
            return data
        named = {Path(str(each)).stem: str(each) for each in listed}
        return {**data, "own": named} if isinstance(data, dict) else {"own": named}

    @model_validator(mode="after")
    def _own_names(self) -> Self:
        taken = sorted(set(self.own) & set(CONTROLS))
        if taken:
            raise ValueError(f"{', '.join(taken)} are names of lossweep's own controls; rename the file")
        return self

    def resolve(self, base: Path, epochs: int, training: TrainingSpec) -> Self:
        """Return this with the user's baselines read, as schedules of the sweep's budget.

        Args:
            base: where relative files start.
            epochs: the budget of a trial.
            training: of the sweep's trials.

        Raises:
            UserError: naming every file or line that cannot be read.
        """
        problems: list[Problem] = []
        own: dict[str, Baseline] = {}
        for name, written in self.own.items():
            try:
                own[name] = written.resolve(base, epochs, training)
            except UserError as error:
                problems += error.problems
        if problems:
            raise UserError(problems)
        return self.model_copy(update={"own": own})

    @property
    def baselines(self) -> dict[str, LossSchedule]:
        """The user's baselines, once `resolve` has read them."""
        schedules = {name: each.schedule for name, each in self.own.items()}
        return {name: each for name, each in schedules.items() if isinstance(each, LossSchedule)}

    @property
    def trainings(self) -> dict[str, TrainingSpec]:
        """Training settings of the user's baselines that have their own."""
        return {name: each.training for name, each in self.own.items() if each.training is not None}


class ConfirmSpec(Frozen):
    """What stands under ``confirm:``: leaders and control are trained again from scratch with fresh seeds.

    Attributes:
        top: how many leaders.
        seeds: how many seeds each; the same for all, so that differences are taken in pairs.
        margin: a difference in the objective that nobody minds; a leader within it ties.
    """

    top: int = Field(default=3, ge=1)
    seeds: int = Field(default=5, ge=2)
    margin: float = Field(default=0.005, ge=0.0)
