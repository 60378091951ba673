"""A small space and small sweeps that the tests of the search share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.conducting.settings import PlanTemplate, SearchSettings
from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.search.study.events import Event
from lossweep.search.study.journal import Journal, MemoryJournal
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.evaluation import Evaluation, GuardVerdict
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan
from lossweep.trainers.scoring.objectives import ObjectiveSpec

EPOCHS = 8


def schedule(*terms: str, rate: float = 1e-3, epochs: int = 2, cycles: int = 1) -> LossSchedule:
    """A schedule of plain terms."""
    phases = [{"loss": {"term": term}, "learning_rate": rate, "epochs": epochs} for term in terms]
    return LossSchedule.model_validate({"phases": phases, "cycles": cycles, "epochs": EPOCHS})


class SmallSpace:
    """One phase, conditional on its loss; a second one now and then."""

    def suggest(self, trial: Any) -> LossSchedule:
        loss = trial.suggest_categorical("loss", ["cross_entropy", "focal", "jaccard"])
        phase: dict[str, Any] = {"loss": {"term": loss}}
        if loss == "focal":
            phase["loss"]["gamma"] = trial.suggest_float("focal.gamma", 0.0, 5.0)
        phase["learning_rate"] = trial.suggest_float(f"{loss}.rate", 1e-5, 1e-1, log=True)
        phase["epochs"] = trial.suggest_int("epochs", 1, 4)
        phases = [phase]
        if trial.suggest_categorical("second", [False, True]):
            rate = trial.suggest_float("second.rate", 1e-5, 1e-2, log=True)
            phases.append({"loss": {"term": "lovasz"}, "learning_rate": rate, "epochs": 1})
        return LossSchedule.model_validate({"phases": phases, "epochs": EPOCHS})

    def parameters_of(self, schedule: LossSchedule) -> Mapping[str, Any]:
        phase = schedule.phases[0]
        inside = phase.loss.term == "cross_entropy" and 1e-5 <= phase.learning_rate <= 1e-1
        inside = inside and 1 <= phase.most_epochs <= 4
        if len(schedule.phases) > 1 or not inside:
            raise ValueError("not in the space")
        return {
            "loss": "cross_entropy",
            "cross_entropy.rate": phase.learning_rate,
            "epochs": phase.epochs,
            "second": False,
        }


@dataclass
class Ear:
    """A listener that remembers."""

    events: list[Event] = field(default_factory=list)

    def handle(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass


def evaluation(
    epoch: int,
    ap: float = 0.5,
    *,
    epochs: int = EPOCHS,
    phase: int = 0,
    cycle_ended: bool = False,
    verdict: GuardVerdict | None = None,
    **metrics: float,
) -> Evaluation:
    """An evaluation of which mostly the AP matters."""
    return Evaluation(
        step=10 * epoch,
        epoch=epoch,
        epochs=epochs,
        phase=phase,
        cycle=0,
        loss_name="cross_entropy",
        learning_rate=1e-3,
        metrics={"ap": ap, "tuned_f1": ap, **metrics},
        seconds=1.0,
        cycle_ended=cycle_ended,
        finished=epoch == epochs,
        verdict=verdict,
    )


DIVERGED = GuardVerdict("non_finite", 10, 0, "the loss is not finite", {"loss": float("inf"), "norm": 3.0})


class Scripted:
    """A trainer whose trials report what a script says; an exception in the script is raised."""

    def __init__(self, script: Mapping[int, Iterable[Evaluation | Exception]]) -> None:
        self.script = {number: list(steps) for number, steps in script.items()}
        self.started: list[TrialPlan] = []
        self.prepared = 0

    def prepare(self) -> None:
        self.prepared += 1

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        self.started.append(plan)
        default = [evaluation(e) for e in range(1, plan.epochs + 1)]
        for step in self.script.get(plan.number, default):
            if isinstance(step, Exception):
                raise step
            yield step


def conductor(
    trials: int = 6,
    *,
    study: optuna.Study | None = None,
    journal: Journal | None = None,
    objective: ObjectiveSpec | None = None,
    pruning: PruningSpec | None = None,
    sampler: str | SamplerSpec = "random",
    controls: Mapping[str, LossSchedule] | None = None,
    listeners: Iterable[Any] = (),
    seed: int = 0,
    hours: float | None = None,
    search: Mapping[str, Any] | None = None,
    **options: Any,
) -> Conductor:
    """A conductor over a new study, or over a given one as a resumed driver's is.

    ``search`` holds further `SearchSettings`, ``options`` further arguments of the conductor. Unless it says
    otherwise every trial has a seed of its own, so that none waits for what another one trains.
    """
    objective = objective or ObjectiveSpec(use_case="balanced")
    settings = SearchSettings(
        objective=objective,
        pruning=pruning or PruningSpec(pruner="none"),
        sampler=SamplerSpec(sampler=sampler) if isinstance(sampler, str) else sampler,
        trials=trials,
        hours=hours,
        controls=controls or {},
        seed=seed,
        **{"space": SmallSpace(), "common_seed": False, **(search or {})},
    )
    template = PlanTemplate(
        EPOCHS, ScenesSource(source="scenes"), ModelSpec(), TrainingSpec(), GuardSpec(), MeasureSpec()
    )
    return Conductor(
        study or optuna.create_study(directions=list(objective.directions)),
        settings,
        template,
        journal or MemoryJournal(),
        listeners,
        **options,
    )
