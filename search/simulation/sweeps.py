"""Whole sweeps without training: the real conductor, sampler and pruner over simulated trials."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import optuna
import yaml

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.conducting.plans import measuring
from lossweep.search.conducting.settings import (
    ConfirmSettings,
    ControlSearch,
    PlanTemplate,
    SearchSettings,
)
from lossweep.search.pruning import PruningSpec
from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.inline import InlineRunner
from lossweep.search.sampling import SamplerSpec
from lossweep.search.sampling.proposals import Space
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.study.confirmation import Confirmation
from lossweep.search.study.events import Listener
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.record import StudyRecord
from lossweep.search.study.sweep_state import SweepState
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.proposing.schedule_space import ScheduleSpace, SpaceSpec
from lossweep.spaces.schedules.controls import PLAIN, Named, named_controls, plain
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec
from lossweep.trainers.scoring.objectives import ObjectiveSpec

if TYPE_CHECKING:  # it pulls torch in, which simulations do without
    from lossweep.trainers.trial import TrialTrainer

VEHICLES: Final = ClassPrior(names=("background", "vehicle"), frequencies=(0.991, 0.009))
EPOCH_ZERO: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When simulated sweeps start, so that equal ones are equal."""


def simulate_sweep(
    trials: int = 64,
    seed: int = 0,
    *,
    epochs: int = 12,
    slots: int = 4,
    prior: ClassPrior = VEHICLES,
    space: SpaceSpec | Space | None = None,
    objective: ObjectiveSpec | None = None,
    pruning: PruningSpec | None = None,
    sampler: SamplerSpec | None = None,
    controls: Mapping[str, LossSchedule] | None = None,
    control_search: ControlSearch | None = None,
    named: Sequence[Named] = (),
    confirm: ConfirmSettings | None = None,
    trainer: TrialTrainer | None = None,
    common_seed: bool = True,
    refill: bool = False,
    listeners: Iterable[Listener] = (),
    name: str = "simulated",
) -> SweepHistory:
    """Run a sweep of simulated trials; equal arguments give equal histories.

    Args:
        trials: how many, controls included.
        seed: of the sweep.
        epochs: each trial's budget.
        slots: trials side by side.
        prior: classes and frequencies.
        space: what may be proposed; the preset ``everything`` when None.
        objective: the use case ``balanced`` when None.
        pruning: the default pruner when None.
        sampler: the default sampler when None.
        controls: asked first; the standard ones when None, unless the control is searched.
        control_search: the search for the best plain cross-entropy; none when None.
        named: the controls that start at what it finds.
        confirm: what is trained again at the end; nothing when None.
        trainer: how trials go; three in a hundred raise an exception when None.
        common_seed: whether the trials of the search train with one seed, so that they share prefixes.
        refill: whether what its trials don't train of their epochs goes to further ones.
        listeners: who is told.
        name: of the sweep.
    """
    objective = objective or ObjectiveSpec(use_case="balanced")
    pruning = pruning or PruningSpec()
    sampler = sampler or SamplerSpec()
    if controls is None:
        controls = _standard_controls(epochs) if control_search is None else {}
    spec = SpaceSpec.model_validate({"preset": "everything"}) if space is None else space
    data = ScenesSource(source="scenes", classes=prior.names)
    waited_for = spec.metrics if isinstance(spec, SpaceSpec) else ()
    measure = measuring(MeasureSpec(), (*objective.watched, *waited_for))
    study = optuna.create_study(study_name=name, directions=list(objective.directions))
    conductor = Conductor(
        study,
        SearchSettings(
            space=ScheduleSpace(spec, epochs, prior) if isinstance(spec, SpaceSpec) else spec,
            objective=objective,
            pruning=pruning,
            sampler=sampler,
            trials=trials,
            refill=refill,
            controls=controls,
            control_search=control_search,
            named=tuple(named),
            confirm=confirm,
            seed=seed,
            common_seed=common_seed,
        ),
        PlanTemplate(epochs, data, ModelSpec(), TrainingSpec(), GuardSpec(), measure),
        MemoryJournal(),
        listeners,
    )
    InlineRunner(slots).run(Dispatcher(conductor), trainer or SimulatedTrainer(exceptions=0.03))
    conductor.shut_down()
    written = {
        "name": name,
        "seed": seed,
        "data": data.model_dump(mode="json", exclude_defaults=True),
        "space": spec.model_dump(mode="json", exclude_defaults=True) if isinstance(spec, SpaceSpec) else {},
        "objective": objective.model_dump(mode="json", exclude_defaults=True),
        "pruning": pruning.model_dump(mode="json", exclude_defaults=True),
        "sampler": sampler.model_dump(mode="json", exclude_defaults=True),
        "budget": {"trials": trials, "epochs": epochs, **({"refill": True} if refill else {})},
    }
    found = [conductor.history(number) for number in range(len(study.trials))]
    searched = [trial for trial in found if trial.confirms is None]
    confirming = tuple(trial for trial in found if trial.confirms is not None)
    plans = StudyRecord(study).confirmations()
    return SweepHistory(
        name=name,
        spec_yaml=yaml.safe_dump({key: value for key, value in written.items() if value}, sort_keys=False),
        state=SweepState.FINISHED if conductor.finished else SweepState.INTERRUPTED,
        objective=str(objective),
        metric=objective.names[0],
        direction=objective.directions[0],
        prior=prior,
        budget_trials=trials,
        budget_epochs=epochs,
        refills=refill,
        trials=_timed(searched, slots),
        created=EPOCH_ZERO,
        data_fingerprint="sha256:" + "0" * 64,
        code_version="simulated",
        confirmation=Confirmation(plans[-1], confirming, len(plans)) if plans else None,
        later_metrics=objective.names[1:],
    )


def _standard_controls(epochs: int) -> dict[str, LossSchedule]:
    """Plain cross-entropy at one rate, and the named controls at the same: none is searched."""
    start = plain(epochs)
    return {PLAIN: start, **named_controls(start, epochs)}


def _timed(trials: Sequence[TrialHistory], slots: int) -> tuple[TrialHistory, ...]:
    """Put the trials at the moments at which so many slots would have trained them."""
    free = [0.0] * slots
    timed = []
    for trial in trials:
        start = heapq.heappop(free)
        end = start + sum(evaluation.seconds for evaluation in trial.evaluations)
        heapq.heappush(free, end)
        started, ended = (EPOCH_ZERO + timedelta(seconds=moment) for moment in (start, end))
        timed.append(dataclasses.replace(trial, started=started, ended=ended))
    return tuple(timed)
