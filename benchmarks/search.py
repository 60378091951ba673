"""What a search costs until it is as good: trained epochs and wall time, against simpler ways to search.

    OMP_NUM_THREADS=1 python benchmarks/search.py --out runs.jsonl            # 20 seeds of every arm, space
    OMP_NUM_THREADS=1 python benchmarks/search.py --small --out small.jsonl    # small budgets, with a control

What is in the file already is not run again, so that it may be run in pieces (``--seeds 0 10``, ``--spaces
tied``); the tables are of all that it holds. Sweeps of simulated trials go through the real conductor, eight
side by side in simulated time. A training's noise belongs to its seed and to what it has trained
(`search.simulation.prefix_trainer`): a kept prefix gives exactly what training it again would give, and what
each schedule is truly worth is known. An arm's *incumbent* is its best completed trial; counted is what was
trained until the incumbent's true score reaches a target: the median, over the seeds, of what the incumbent
of a baseline is worth at its end.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution
from search_tables import small_tables, tables, wall_and_confirmation

from lossweep.search.conducting.settings import ControlSearch
from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.search.sampling.cost_aware.drawing import draw
from lossweep.search.simulation.courses import Curves
from lossweep.search.simulation.prefix_trainer import PrefixTrainer, trial_plan
from lossweep.search.simulation.sweeps import VEHICLES, simulate_sweep
from lossweep.search.study.events import Event, TrialEnded, TrialEvaluated, TrialStarted
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.proposing.control_space import ControlSpace, control_rates
from lossweep.spaces.proposing.schedule_space import ScheduleSpace, SpaceSpec, preset_space
from lossweep.spaces.schedules.schedule import SHAPES, LossSchedule
from lossweep.spaces.seeds import short_seed
from lossweep.trainers.scoring.objectives import PILOT, ObjectiveSpec, score

OBJECTIVE: Final = ObjectiveSpec(use_case="balanced")
EPOCHS: Final = 12
SLOTS: Final = 8
TRIALS: Final = 48
SMALL: Final = (16, 24, 32)
FOUR_SPACES: Final = ("tied", "free", "continuous", "adversarial")
SMALL_SPACES: Final = ("close",)


class StockAsha(optuna.pruners.SuccessiveHalvingPruner):
    """ASHA as usually wired: from the first epoch on, a quarter goes on; steps are percent of the budget."""

    def __init__(self) -> None:
        super().__init__(min_resource=8, reduction_factor=4)


ONE_EPOCH: Final = "one-epoch"
"""Not a sampler: many at random for an epoch, the best to the end (Egele et al., arXiv 2307.15422)."""
NOTHING_PRUNED: Final = PruningSpec(pruner="none")
RUNGS: Final = PruningSpec()
PAUSING: Final = PruningSpec(pause=True)
ASHA: Final = PruningSpec(pruner=f"{__name__}:StockAsha", metric="f1", min_peers=1, audit=0.0)


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to search.

    Attributes:
        sampler: what proposes.
        pruning: what ends trials early.
        keeps: whether prefixes are kept; then all trials have one seed, and otherwise each its own.
        parameters: of the sampler.
    """

    sampler: str
    pruning: PruningSpec = NOTHING_PRUNED
    keeps: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)


OURS: Final = Arm("cost_aware", PAUSING, keeps=True)
ARMS: Final[Mapping[str, Arm]] = {
    "random": Arm("random"),
    "random + cache": Arm("random", keeps=True),
    "One-Epoch": Arm(ONE_EPOCH),
    "TPE, stock": Arm("tpe"),
    "TPE + cache": Arm("tpe", keeps=True),
    "TPE + rungs": Arm("tpe", RUNGS),
    "stock ASHA": Arm("random", ASHA),
    "ours": OURS,
    "ours, costs ignored": replace(OURS, sampler="tpe"),
    "ours, nothing kept": replace(OURS, keeps=False, parameters={"shared": False}),
    "ours, pruned rather than paused": replace(OURS, pruning=RUNGS),
    "ours, no rungs": replace(OURS, pruning=NOTHING_PRUNED),
    "ours, no prior": replace(OURS, parameters={"prior": False}),
}
SMALL_ARMS: Final = ("random", "One-Epoch", "TPE, stock", "TPE + rungs", "ours")


def _free() -> SpaceSpec:
    """Four phases, none tied to another, each with its own loss, rate and length."""
    first, last = preset_space("cycling").phases or ()
    share = {"low": 0.1, "high": 0.4, "step": 0.1}
    phases = [
        {**phase.model_dump(mode="json", exclude_defaults=True), "share": share}
        for phase in (first, last, first, last)
    ]
    return SpaceSpec.model_validate({"phases": phases})


def _continuous() -> SpaceSpec:
    """The preset ``cycling`` without levels and steps: no two prefixes are alike by chance."""
    spec = preset_space("cycling").model_dump(mode="json", exclude_defaults=True)
    return SpaceSpec.model_validate(_without_grids(spec))


def _without_grids(node: Any) -> Any:
    if isinstance(node, dict):
        whole = isinstance(node.get("low"), int)
        return {
            key: _without_grids(value)
            for key, value in node.items()
            if whole or key not in ("levels", "step")
        }
    return [_without_grids(each) for each in node] if isinstance(node, list) else node


@dataclass(frozen=True, slots=True)
class Setting:
    """A space, and how its curves go."""

    space: SpaceSpec
    curves: Curves = field(default_factory=Curves)


def settings() -> dict[str, Setting]:
    """The spaces that are searched. In ``close``, plain cross-entropy is nearly as good as the best."""
    tied = SpaceSpec.model_validate({"preset": "cycling"})
    return {
        "tied": Setting(tied),
        "free": Setting(_free()),
        "continuous": Setting(_continuous()),
        "adversarial": Setting(tied, Curves(haste=0.35)),
        "close": Setting(tied, Curves(plain=0.8)),
    }


class Meter:
    """Listens to a sweep: what it has trained, what time it is, and what its incumbent is truly worth.

    Attributes:
        steps: whenever the incumbent changes: epochs trained so far, seconds, its true score.
        control: what the best control is truly worth.
    """

    def __init__(self, trainer: PrefixTrainer) -> None:
        self._trainer = trainer
        self._clocks: dict[int, float] = {}
        self._best = self._best_control = float("-inf")
        self.control: float | None = None
        self.epochs = 0
        self.seconds = 0.0
        self.steps: list[tuple[int, float, float]] = []

    def handle(self, event: Event) -> None:
        """Take one event."""
        match event:
            case TrialStarted(trial):
                self._clocks[trial.number] = self.seconds
            case TrialEvaluated(number, evaluation):
                self._clocks[number] += evaluation.seconds
                self.seconds = max(self.seconds, self._clocks[number])
                self.epochs += evaluation.seconds > 0
            case TrialEnded(trial) if trial.outcome is OutcomeKind.COMPLETED and trial.feasible:
                if trial.control is None:
                    self.completed(trial.schedule, trial.score or 0.0)
                elif (trial.score or 0.0) > self._best_control:
                    self._best_control = trial.score or 0.0
                    self.control = self._trainer.true_score(trial.schedule, OBJECTIVE, EPOCHS)

    def completed(self, schedule: LossSchedule, score: float) -> None:
        """A trial has completed."""
        if score > self._best:
            self._best = score
            true = self._trainer.true_score(schedule, OBJECTIVE, EPOCHS)
            self.steps.append((self.epochs, round(self.seconds, 2), round(true, 5)))

    def close(self) -> None:
        """Nothing is pending."""


def one_epoch(meter: Meter, setting: Setting, trainer: PrefixTrainer, seed: int, epochs: int) -> None:
    """Train many schedules for an epoch and the best of them on to the end, for so many epochs in all."""
    best = max(2, epochs // (3 * EPOCHS))
    dice = random.Random(short_seed(seed, ONE_EPOCH))
    space = ScheduleSpace(setting.space, EPOCHS, VEHICLES)
    found = []
    for number in range(max(best, epochs - best * (EPOCHS - 1))):
        schedule = draw(space, lambda name, kind: _even(kind, dice)).schedule
        course = trainer.trial(trial_plan(schedule, short_seed(seed, ONE_EPOCH, number), EPOCHS))
        first = next(course)
        found.append((first.metrics[PILOT], number, schedule, [first, *course]))
    meter.epochs, meter.seconds = len(found), len(found) / SLOTS
    finished = sorted(found, key=lambda each: -each[0])[:best]
    for place, (_, _, schedule, evaluations) in enumerate(finished):
        if evaluations[-1].finished and (scored := score(OBJECTIVE, evaluations)) is not None:
            meter.epochs += EPOCHS - 1
            if place % SLOTS == 0:
                meter.seconds += sum(each.seconds for each in evaluations[1:])
            meter.completed(schedule, scored.values[0])


def _even(kind: BaseDistribution, dice: random.Random) -> Any:
    """A value drawn evenly from a distribution, by Optuna's own sampler."""
    sampler = optuna.samplers.RandomSampler(seed=dice.randrange(2**31))
    study = optuna.create_study(sampler=sampler)
    return sampler.sample_independent(study, study.ask(), "value", kind)


def run(arm: Arm, setting: Setting, seed: int, trials: int, small: bool = False) -> dict[str, Any]:
    """One sweep; with ``small``, one that searches its control as well."""
    common = short_seed(seed, "common") if arm.keeps else None
    trainer = PrefixTrainer(curves=setting.curves, common_seed=common, apart=not arm.keeps, keeps=arm.keeps)
    meter = Meter(trainer)
    control = None
    if small:
        rates = ControlSpace(control_rates(setting.space), EPOCHS, VEHICLES, SHAPES, (0, 50))
        control = ControlSearch(rates, 0.25, 4, SamplerSpec(startup=4, ahead=False))
    if arm.sampler == ONE_EPOCH:
        one_epoch(meter, setting, trainer, seed, EPOCHS * (trials - trials // 4 if small else trials))
    else:
        simulate_sweep(
            trials,
            seed,
            epochs=EPOCHS,
            slots=SLOTS,
            space=setting.space,
            objective=OBJECTIVE,
            controls={},
            control_search=control,
            sampler=SamplerSpec(sampler=arm.sampler, ahead=False, parameters=dict(arm.parameters)),
            pruning=arm.pruning,
            trainer=trainer,
            listeners=[meter],
        )
    return {"epochs": meter.epochs, "seconds": meter.seconds, "steps": meter.steps, "control": meter.control}


def missing(out: Path, wanted: list[tuple[str, str, int, int]], small: bool) -> None:
    """Run what is not in the file yet; every run is a line, written as it ends."""
    done = {(row["space"], row["arm"], row["seed"], row["trials"]) for row in rows(out)}
    spaces = settings()
    with out.open("a", encoding="utf-8") as file:
        for key in wanted:
            if key not in done:
                space, arm, seed, trials = key
                found = run(ARMS[arm], spaces[space], seed, trials, small)
                row = {"space": space, "arm": arm, "seed": seed, "trials": trials, **found}
                file.write(json.dumps(row) + "\n")
                file.flush()


def rows(out: Path) -> list[dict[str, Any]]:
    """The runs of a file."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--small", action="store_true", help="16, 24 and 32 trials, with a searched control")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 20), metavar=("FROM", "TO"))
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--spaces", nargs="+")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS))
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    arms = chosen.arms or (SMALL_ARMS if chosen.small else list(ARMS))
    spaces = chosen.spaces or (SMALL_SPACES if chosen.small else FOUR_SPACES)
    trials = SMALL if chosen.small else (chosen.trials,)
    seeds = range(*chosen.seeds)
    wanted = [(s, a, seed, count) for count in trials for seed in seeds for s in spaces for a in arms]
    missing(chosen.out, wanted, chosen.small)
    found = rows(chosen.out)
    lines = small_tables(found) if chosen.small else [*tables(found), *wall_and_confirmation(found)]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
