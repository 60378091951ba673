"""A loss schedule: the small programme of phases and cycles that one trial trains."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import ConfigDict, Field, field_validator, model_validator

from lossweep.spaces.files.canonical import key_of
from lossweep.spaces.files.errors import Problem, refused
from lossweep.spaces.files.html_table import html_table
from lossweep.spaces.files.numbers import number
from lossweep.spaces.files.validation import rendered
from lossweep.spaces.files.yaml_source import parse_json, parse_yaml, plain_source, validate, write_yaml
from lossweep.spaces.losses.one_line import loss_text, quoted_unless
from lossweep.spaces.losses.ramp import ramps
from lossweep.spaces.losses.terms import Frozen, Loss, family
from lossweep.spaces.metric_names import FIXED_NAMES, MetricName, higher_is_better
from lossweep.spaces.schedules import one_line
from lossweep.spaces.schedules.fit import misfits

FORMAT: Final = "lossweep-schedule/1"
Shape = Literal["constant", "cosine", "drop"]
SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)
"""How the learning rate may run within a phase."""


class Until(Frozen):
    """Ends a phase when a validation metric is reached.

    Attributes:
        metric: one of `spaces.metric_names`.
        at_least: the level to reach (at most, for metrics that are better when low).
        epochs: the least and the most epochs the phase lasts, both included.
        back_below: when the metric falls under this level in the next phase, training goes back to this one
            (rises above, for metrics that are better when low).
            Must be worse than ``at_least``: the distance is the hysteresis.
    """

    metric: MetricName = Field(
        description="a validation metric, such as recall, or recall/vehicle for one class",
        examples=list(FIXED_NAMES),
    )
    at_least: float = Field(description="the level that ends the phase; at most, for count errors")
    epochs: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = Field(
        description="least and most epochs the phase lasts"
    )
    back_below: float | None = Field(
        default=None, description="go back to this phase when the metric gets worse than this in the next one"
    )

    @model_validator(mode="after")
    def _check(self) -> Until:
        least, most = self.epochs
        if least > most:
            raise refused(
                "the least number of epochs is above the most", key="epochs", allowed="[least, most]"
            )
        if self.back_below is not None and not self.better(self.at_least, self.back_below):
            side = "below" if higher_is_better(self.metric) else "above"
            raise refused(
                "going back must be at a worse level than going on",
                key="back_below",
                allowed=f"{side} at_least, which is {number(self.at_least)}",
            )
        return self

    def better(self, value: float, level: float) -> bool:
        """Whether ``value`` is strictly better than ``level`` in this metric."""
        return value > level if higher_is_better(self.metric) else value < level

    def reached_by(self, value: float) -> bool:
        """Whether a value of the metric ends the phase."""
        return not self.better(self.at_least, value)

    def lost_by(self, value: float) -> bool:
        """Whether a value of the metric, measured in the next phase, sends training back to this one."""
        return self.back_below is not None and self.better(self.back_below, value)


class Phase(Frozen):
    """One loss at one learning rate, for a number of epochs or until a metric is reached.

    Attributes:
        loss: a term or a weighted sum of terms.
        learning_rate: of the optimizer.
        epochs: how long the phase lasts; either this or ``until``.
        until: ends the phase when a metric is reached. One whose least and most epochs are equal and that has
            no way back is the same as ``epochs``, and becomes it.
        shape: the learning rate within the phase: constant, falling along half a cosine to 1 % over
            ``most_epochs``, or dropping to a tenth for their last quarter.
        warmup_steps: steps over which the learning rate rises linearly at the phase's start.
        keep_moments: whether the optimizer's moments outlive the switch into this phase.
    """

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["epochs"]}, {"required": ["until"]}]}
    )

    loss: Loss = Field(description="a term with its parameters, or {sum: [...]} of several")
    learning_rate: float = Field(gt=0.0, le=10.0, description="of the optimizer")
    epochs: Annotated[int, Field(ge=1)] | None = Field(default=None, description="how long the phase lasts")
    until: Until | None = Field(
        default=None, description="ends the phase when a metric is reached, instead of epochs"
    )
    shape: Shape = Field(
        default="constant",
        description="the learning rate within the phase; cosine falls to 1 %, drop to 10 % at last",
    )
    warmup_steps: int = Field(default=0, ge=0, description="steps of linear rise at the phase's start")
    keep_moments: bool = Field(
        default=True, description="keep the optimizer's moments at the switch into the phase"
    )

    @model_validator(mode="after")
    def _one_length(self) -> Phase:
        if (self.epochs is None) == (self.until is None):
            raise refused(
                "a phase needs a length" if self.until is None else "a phase has one length, not two",
                key="epochs",
                found="neither" if self.until is None else "both epochs and until",
                allowed="epochs: N, or until: {metric: ..., at_least: ..., epochs: [least, most]}",
            )
        if self.until is not None and self.until.back_below is None and len(set(self.until.epochs)) == 1:
            # The model is frozen for its users; its own validator may still bring it into canonical form.
            object.__setattr__(self, "epochs", self.until.epochs[0])
            object.__setattr__(self, "until", None)
        return self

    @property
    def most_epochs(self) -> int:
        """The longest this phase can last, in epochs."""
        return self.until.epochs[1] if self.until else self.epochs or 0

    @property
    def ramps(self) -> bool:
        """Whether any parameter of the loss goes from one value to another within the phase."""
        return any(ramps(self.loss))

    @property
    def loss_name(self) -> str:
        """The loss on one line, as the schedule prints it."""
        return loss_text(self.loss)

    @property
    def length(self) -> str:
        """How long it lasts, as the schedule prints it: ``x3``, or ``until recall>=0.9 in 2..6``."""
        if self.until is None:
            return f"x{self.epochs}"
        until = self.until
        reach, lose = (">=", "<") if higher_is_better(until.metric) else ("<=", ">")
        least, most = until.epochs
        metric = quoted_unless(until.metric, one_line.METRIC)
        length = f"until {metric}{reach}{number(until.at_least)} in {least}..{most}"
        return length if until.back_below is None else f"{length} back {lose}{number(until.back_below)}"

    @property
    def manner(self) -> str:
        """What differs from a constant rate and kept moments, as the schedule prints it: ``cosine fresh``."""
        parts: list[str] = [self.shape] if self.shape != "constant" else []
        if self.warmup_steps:
            parts.append(f"warmup {self.warmup_steps}")
        if not self.keep_moments:
            parts.append("fresh")
        return " ".join(parts)

    def __str__(self) -> str:
        """Loss, rate, length, then what differs from the defaults."""
        parts = (self.loss_name, f"@{number(self.learning_rate)}", self.length, self.manner)
        return " ".join(part for part in parts if part)


def _shortest_cycle(phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
    """The shortest run of phases whose repetition gives ``phases``."""
    count = len(phases)
    return next(
        phases[:period]
        for period in range(1, count + 1)
        if count % period == 0 and phases[:period] * (count // period) == phases
    )


class LossSchedule(Frozen):
    """Phases, repeated ``cycles`` times. Equal schedules are equal, hash equal and have the same `key`.

    A trial trains for exactly its budget of epochs: a schedule that ends earlier goes on in its last phase, a
    longer one is cut. ``epochs``, when given, is that budget, as the exported winner was trained.

    However it was written, a schedule holds its canonical form: cycles that were written out are folded into
    the shortest run of phases that repeats, sums stand in one order, and defaults are filled in.
    """

    format: Literal["lossweep-schedule/1"] = Field(default=FORMAT, description="the version of this format")
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = Field(
        description="in the order they are trained"
    )
    cycles: int = Field(default=1, ge=1, description="how often the phases are repeated")
    epochs: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="the whole budget of a training"
    )

    @field_validator("format", mode="before")
    @classmethod
    def _known_version(cls, value: Any) -> Any:
        if value != FORMAT:
            raise refused("this version of the format can't be read", found=rendered(value), allowed=FORMAT)
        return value

    @model_validator(mode="after")
    def _fold(self) -> LossSchedule:
        cycle = _shortest_cycle(self.phases)
        if len(cycle) < len(self.phases):
            object.__setattr__(self, "cycles", self.cycles * (len(self.phases) // len(cycle)))
            object.__setattr__(self, "phases", cycle)
        return self

    def unrolled(self) -> tuple[Phase, ...]:
        """The phases in the order they are trained, cycles written out."""
        return self.phases * self.cycles

    @property
    def most_epochs(self) -> int:
        """The longest the phases can last together, in epochs; going back to a phase not counted."""
        return self.cycles * sum(phase.most_epochs for phase in self.phases)

    @property
    def budget(self) -> int:
        """The epochs a training of this schedule takes: ``epochs``, or the most its phases can last."""
        return self.epochs or self.most_epochs

    def with_budget(self, epochs: int | None) -> LossSchedule:
        """The schedule alone, with this budget; None leaves it open.

        Raises:
            ValidationError: for a budget below one epoch.
        """
        return LossSchedule(phases=self.phases, cycles=self.cycles, epochs=epochs)

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that an ``until`` waits for: what an evaluation has to measure."""
        return frozenset(phase.until.metric for phase in self.phases if phase.until)

    @property
    def family(self) -> str:
        """The losses without their parameters, in order, once each cycle: ``weighted_ce → jaccard``."""
        return " → ".join(name for name, _ in groupby(family(phase.loss) for phase in self.phases))

    @property
    def key(self) -> str:
        """The SHA-256 of the canonical form: the same in every process, however the schedule is written."""
        return key_of(self.model_dump(mode="json", include=set(LossSchedule.model_fields)))

    def prefix(self, count: int) -> LossSchedule:
        """The first ``count`` phases of the unrolled schedule, as a schedule of their own without a budget.

        Raises:
            ValueError: unless 1 <= count <= the number of unrolled phases.
        """
        if not 1 <= count <= len(self.unrolled()):
            raise ValueError(f"count must be from 1 to {len(self.unrolled())}, but got {count=}")
        return LossSchedule(phases=self.unrolled()[:count])

    def prefix_key(self, count: int) -> str:
        """The key of `prefix`: trainings that share it (and seed, data, model) agree up to its end."""
        return self.prefix(count).key

    def check(self, classes: Sequence[str]) -> tuple[Problem, ...]:
        """What doesn't fit the data's classes: class weights of another length, metrics of unknown classes.

        Args:
            classes: the class names, background first.
        """
        return tuple(misfits([phase.model_dump(mode="json") for phase in self.phases], classes))

    def plain(self) -> dict[str, Any]:
        """The schedule as it is written to files: plain data without what is at its default."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"format": self.format}

    def to_yaml(self) -> str:
        """Write the schedule as YAML; `from_yaml` reads it back exactly."""
        return write_yaml(self.plain(), first=tuple(type(self).model_fields))

    def to_json(self) -> str:
        """Write the schedule as JSON; `from_json` reads it back exactly."""
        return json.dumps(self.plain(), allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_yaml(cls, text: str, file: str | None = None) -> Self:
        """Read a schedule from YAML.

        Raises:
            UserError: with all that is wrong, by line.
        """
        return validate(cls, parse_yaml(text, file))

    @classmethod
    def from_json(cls, text: str, file: str | None = None) -> Self:
        """Read a schedule from JSON.

        Raises:
            UserError: with all that is wrong, by line.
        """
        return validate(cls, parse_json(text, file))

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a schedule from one line, as `str` writes it; docs/schedules.md has the grammar.

        Raises:
            UserError: with what is wrong and where.
        """
        return validate(cls, plain_source(one_line.parse(line)))

    def __str__(self) -> str:
        parts = [" -> ".join(str(phase) for phase in self.phases)]
        if self.cycles > 1:
            parts.append(f"{self.cycles} cycles")
        if self.epochs is not None:
            parts.append(f"{self.epochs} epoch{'s' * (self.epochs > 1)}")
        return " | ".join(parts)

    def _repr_html_(self) -> str:
        """What a notebook shows of it: the schedule on one line, and a row a phase."""
        rows = [
            (str(place), phase.loss_name, number(phase.learning_rate), phase.length, phase.manner)
            for place, phase in enumerate(self.phases, start=1)
        ]
        head = ("phase", "loss", "learning rate", "epochs", "rate and moments")
        return f"<p><code>{html.escape(str(self))}</code></p>\n{html_table(head, rows)}"
