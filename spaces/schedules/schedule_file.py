"""A schedule as it is exported and kept: with its classes, how it really went, and where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.files.yaml_source import load_yaml, validate
from lossweep.spaces.schedules.fit import misfits
from lossweep.spaces.schedules.realised import RealisedPhase
from lossweep.spaces.schedules.schedule import LossSchedule


class ScheduleFile(LossSchedule):
    """A schedule and what is known of it. The outermost keys are the schedule's own.

    Attributes:
        classes: the class names it was found for, background first.
        frequencies: each class's share of the training pixels it was found on; class weights that a term
            leaves to be computed follow from them.
        threshold: from which probability on a pixel is foreground; it holds the objective's score on
            validation. With several foreground classes, of the first.
        logit_threshold: the same on logits. Region losses saturate, and as a probability their thresholds
            are rounded to 0 or 1: where both stand, this one decides.
        realised: the phases as the exported training really went through them.
        provenance: the sweep, trial, seed, data and scores it comes from.
    """

    classes: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    frequencies: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...] | None = None
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    logit_threshold: Annotated[float, Field(allow_inf_nan=False)] | None = None
    realised: tuple[RealisedPhase, ...] = ()
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_frequency_a_class(self) -> Self:
        if self.frequencies is not None and len(self.frequencies) != len(self.classes or ()):
            found = f"{len(self.frequencies)} frequencies and {len(self.classes or ())} classes"
            raise ValueError(f"frequencies must stand beside classes, one each, but got {found}")
        return self

    @property
    def prior(self) -> ClassPrior | None:
        """The classes with their frequencies, when the file holds them."""
        if self.classes is None or self.frequencies is None:
            return None
        return ClassPrior(names=self.classes, frequencies=self.frequencies)

    @property
    def schedule(self) -> LossSchedule:
        """The schedule alone."""
        return self.with_budget(self.epochs)


def load_schedule(path: str | Path) -> ScheduleFile:
    """Read a schedule file.

    Raises:
        UserError: with everything that is wrong, by file, line and key; class weights and metrics that don't
            fit the file's classes included.
    """
    source = load_yaml(path)
    file = validate(ScheduleFile, source)
    if file.classes is not None and (problems := list(misfits(source.data["phases"], file.classes))):
        raise UserError([source.located(problem) for problem in problems])
    return file


def read_schedule(written: str | LossSchedule, base: Path) -> LossSchedule:
    """Return a schedule that another file names: by its own file, on one line, or written out.

    Args:
        written: as it stands in the other file.
        base: where a relative file starts.

    Raises:
        UserError: naming what cannot be read.
    """
    if isinstance(written, LossSchedule):
        return written
    if Path(written).suffix in (".yaml", ".yml", ".json"):
        return load_schedule(base / Path(written).expanduser()).schedule
    return LossSchedule.parse(written)
