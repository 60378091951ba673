"""The sweep file: data, model, space, objective and budget, read once, checked whole, then immutable."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossweep.search.choices import choice_problems, guard_problems, import_problems, metric_problems
from lossweep.search.control_spec import ConfirmSpec, ControlSpec
from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.search.workspace import DATABASE_VARIABLE
from lossweep.spaces.files.errors import Problem, UserError, refused
from lossweep.spaces.files.yaml_source import YamlSource, load_yaml, validate
from lossweep.spaces.losses.terms import Frozen
from lossweep.spaces.proposing.schedule_space import SpaceSpec
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import read_schedule
from lossweep.trainers.data.spec import DataSpec
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec
from lossweep.trainers.scoring.objectives import ObjectiveSpec

_FOLDERS = ("data.root", "data.path", "sampler.registry")

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"


class BudgetSpec(Frozen):
    """How much a sweep may spend.

    Attributes:
        trials: trials that end on their own: completed, pruned, diverged or failed; interrupted ones go on.
        epochs: epochs each trial may train.
        hours: wall-clock hours after which no new trial starts, counted over all drivers of the sweep.
        refill: whether the epochs that rungs and shared prefixes save go to further proposals: then as many
            epochs are trained as ``trials`` trials have, by more of them.
    """

    trials: int = Field(ge=1)
    epochs: int = Field(ge=1)
    refill: bool = False
    hours: float | None = Field(default=None, gt=0.0)


class ResourceSpec(Frozen):
    """What a trial holds while it trains, and how many train side by side.

    Attributes:
        parallel: trials at a time, on this machine or on a cluster; None for as many as fit.
        priority: of the sweep, where several share a cluster: twice the priority, twice the trials at a time.
        cpus_per_trial: cores each trial holds.
        gpus_per_trial: a whole GPU or a share of one, which also bounds the process's GPU memory; 0 hides the
            GPUs from the trials. When None, where a node has any: the share that a short measurement on this
            machine finds, or a whole one on a cluster that is joined; else none.
        max_failures: how often a trial is resumed after its worker was lost. One whose machine went away, as
            a preempted one does, is resumed at no cost in these.
        evaluation_minutes: a worker that reports nothing for so long counts as lost, its start included; None
            for never.
        checkpoints_gib: what the sweep's checkpoints may take; above it those go that are least likely to be
            gone on from, but never those of unfinished trials, of leaders or of the control. None for no
            limit.
        runner: ``tune`` for Ray Tune workers, ``inline`` for one process, trial after trial.
        environment: environment variables that the workers of this machine's private cluster get although
            their names look like secrets; without this, none of those reaches them.
    """

    parallel: int | None = Field(default=None, ge=1)
    priority: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    cpus_per_trial: float = Field(default=1.0, gt=0.0)
    gpus_per_trial: float | None = Field(default=None, ge=0.0, le=1.0)
    max_failures: int = Field(default=2, ge=0)
    evaluation_minutes: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    checkpoints_gib: float | None = Field(default=50.0, gt=0.0, allow_inf_nan=False)
    runner: Literal["tune", "inline"] = "tune"
    environment: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _a_process_that_can_be_ended(self) -> Self:
        if self.evaluation_minutes is not None and self.runner == "inline":
            raise ValueError(
                "evaluation_minutes needs workers that can be ended: runner: tune, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _no_worker_gets_the_database(self) -> Self:
        if DATABASE_VARIABLE in self.environment:
            raise refused(
                "workers never get the sweep's database",
                key="environment",
                found=DATABASE_VARIABLE,
                allowed="other variables",
            )
        return self

    @property
    def evaluation_limit_s(self) -> float | None:
        """``evaluation_minutes`` in seconds."""
        return None if self.evaluation_minutes is None else 60.0 * self.evaluation_minutes


class SweepSpec(Frozen):
    """One sweep: what is trained, what is tried, what is good, and how much may be spent.

    Attributes:
        name: of the sweep, its study and its MLflow run; letters, digits, ``.``, ``_``, ``-``.
        seed: everything random in the sweep follows from it.
        seeds: of the trials of the search: one for all (``common``), so that they are compared by their
            schedules alone and share the epochs that they begin with alike, or one for each (``own``).
        data: where images and masks come from, by its ``source``.
        model: what is trained.
        training: how every trial trains, whatever its schedule.
        measure: what an evaluation measures beyond the fixed metrics.
        guards: the rules that end a diverging trial.
        space: what may be proposed.
        objective: what is good.
        pruning: what is stopped early.
        sampler: who proposes.
        budget: how much may be spent.
        resources: what a trial holds, and how many train side by side.
        controls: what has to be beaten, and how hard it is searched.
        confirm: what is trained again with fresh seeds once the search is over.
        warm_start: former winners, tried before the sampler proposes anything: schedule files, schedules on
            one line, or written out; of another budget, their lengths are fitted to this one's.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    seed: int = Field(default=0, ge=0)
    seeds: Literal["common", "own"] = "common"
    data: DataSpec
    model: ModelSpec = ModelSpec()
    training: TrainingSpec = TrainingSpec()
    measure: MeasureSpec = MeasureSpec()
    guards: GuardSpec = GuardSpec()
    space: SpaceSpec
    objective: ObjectiveSpec
    pruning: PruningSpec = PruningSpec()
    sampler: SamplerSpec = SamplerSpec()
    budget: BudgetSpec
    resources: ResourceSpec = ResourceSpec()
    controls: ControlSpec = ControlSpec()
    confirm: ConfirmSpec | None = None
    warm_start: tuple[str | LossSchedule, ...] = ()

    @property
    def steered_by(self) -> frozenset[str]:
        """Every metric that something in it goes by: objective, pruner, or a schedule that waits for one."""
        return frozenset({*self.objective.watched, *self.space.metrics, *filter(None, [self.pruning.metric])})

    @classmethod
    def load(cls, path: Path | str, overrides: dict[str, Any] | None = None) -> SweepSpec:
        """Read a sweep file; relative folders in it are taken from where it lies.

        Args:
            path: the YAML file.
            overrides: dotted keys and their values, such as ``{"budget.trials": 4}``, put over the file's.
                Folders among them are taken from the working directory.

        Raises:
            UserError: naming every mistake with its line.
        """
        source = load_yaml(Path(path))
        if overrides:
            source = source.overridden({key: _from_here(key, value) for key, value in overrides.items()})
        return cls.read(source, base=Path(path).absolute().parent)

    @classmethod
    def read(cls, source: YamlSource, base: Path) -> SweepSpec:
        """Check what a sweep file says; see `load`."""
        spec = validate(cls, source)
        spec = spec.model_copy(
            update={
                "data": spec.data.resolve(base),
                "sampler": spec.sampler.resolve(base),
                "controls": spec.controls.resolve(base, spec.budget.epochs, spec.training),
                "warm_start": tuple(read_schedule(each, base) for each in spec.warm_start),
            }
        )
        within = [*spec.space.check(spec.data.classes), *import_problems(spec.space)]
        problems = [source.located(problem, at=("space",)) for problem in within]
        chosen = [
            *choice_problems(spec.sampler, spec.pruning, len(spec.objective.names)),
            *metric_problems(spec.measure, spec.objective, spec.pruning, spec.space),
        ]
        problems += [source.located(problem) for problem in chosen]
        problems += [source.located(each, at=("guards", path)) for path, each in guard_problems(spec.guards)]
        for name, baseline in spec.controls.baselines.items():
            for problem in baseline.check(spec.data.classes):
                key = f"controls.own.{name}.{problem.key}"
                problems.append(source.located(dataclasses.replace(problem, key=key)))
        for index, former in enumerate(spec.former_winners):
            for problem in former.check(spec.data.classes):
                key = f"warm_start[{index}].{problem.key}"
                problems.append(source.located(dataclasses.replace(problem, key=key)))
        if problems:
            raise UserError(problems)
        return spec

    @property
    def former_winners(self) -> tuple[LossSchedule, ...]:
        """The schedules to start warm from, once `read` has read them."""
        return tuple(each for each in self.warm_start if isinstance(each, LossSchedule))


def _from_here(key: str, value: Any) -> Any:
    """A folder given on the command line is meant as the shell would take it."""
    return str(Path(value).absolute()) if key in _FOLDERS and isinstance(value, str) else value


__all__ = ["BudgetSpec", "ConfirmSpec", "Problem", "ResourceSpec", "SweepSpec"]
