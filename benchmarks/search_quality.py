"""Does the search search? TPE against random, rungs against stock ASHA on epochs, on simulated trials.

    python benchmarks/search_quality.py [--trials 96] [--seeds 10]

Every arm runs the same sweeps through the real conductor. Reported are the best score after all epochs and
after half of them, as mean and standard error over the seeds, and the pruner's regret: how much better the
best pruned trial would have become than the best one that was kept, found out by training every pruned
schedule to its end (in the simulation). What pausing changes is told seed by seed, with the 95 % interval of
the mean difference (Student's t), at equal trained epochs too. The curves are made up
(`search.simulation.simulated_trainer`): what holds here holds for curves that cross as those do. Not named
``search.py``: next to other scripts that would hide the package.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from scipy import stats

from lossweep.search.pruning import PruningSpec, audit
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.events import Event, TrialEnded, TrialEvaluated
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan
from lossweep.trainers.scoring.objectives import ObjectiveSpec, score

OBJECTIVE = ObjectiveSpec(use_case="balanced")
EPOCHS = 24

ASHA = PruningSpec(
    pruner=f"{__name__}:StockAsha",
    metric="f1",
    min_peers=1,
    audit=0.0,
)
"""As usually wired: successive halving from the first epochs on, on F1 at 0.5."""


class StockAsha(optuna.pruners.SuccessiveHalvingPruner):
    """ASHA with a least resource of one epoch of 24 and a reduction by 4; percent are the steps."""

    def __init__(self) -> None:
        super().__init__(min_resource=4, reduction_factor=4)


ARMS = {
    "random, nothing pruned": ("random", PruningSpec(pruner="none")),
    "random, rungs that end": ("random", PruningSpec(pause=False)),
    "random, rungs that pause": ("random", PruningSpec(pause=True)),
    "random, median": ("random", PruningSpec(pruner="median")),
    "random, stock ASHA on epochs": ("random", ASHA),
    "TPE, nothing pruned": ("tpe", PruningSpec(pruner="none")),
    "TPE, rungs that end": ("tpe", PruningSpec(pause=False)),
    "TPE, rungs that pause": ("tpe", PruningSpec(pause=True)),
    "TPE, rungs that end, a third kept": ("tpe", PruningSpec(pause=False, keep=0.33)),
    "TPE, rungs that pause, a third kept": ("tpe", PruningSpec(pause=True, keep=0.33)),
    "TPE, rungs that end, nothing spared": ("tpe", PruningSpec(pause=False, audit=0.0)),
    "TPE, stock ASHA on epochs": ("tpe", ASHA),
}


PAIRS = {
    "random, rungs that pause": "random, rungs that end",
    "TPE, rungs that pause": "TPE, rungs that end",
    "TPE, rungs that pause, a third kept": "TPE, rungs that end, a third kept",
}
"""Each with what it is held against."""


class Course:
    """A listener that notes what was best after how many trained epochs."""

    def __init__(self) -> None:
        self.epochs = 0
        self._best = [(0, 0.0)]

    def handle(self, event: Event) -> None:
        """Count an epoch, or take a score in."""
        if isinstance(event, TrialEvaluated):
            self.epochs += 1
        elif isinstance(event, TrialEnded) and event.trial.outcome is OutcomeKind.COMPLETED:
            self._best.append((self.epochs, max(self._best[-1][1], event.trial.score or 0.0)))

    def close(self) -> None:
        """Nothing is pending."""

    def best_within(self, epochs: int) -> float:
        """The best score of the trials that were complete after so many epochs in all."""
        return next(best for at, best in reversed(self._best) if at <= epochs)


@dataclass(frozen=True)
class Run:
    """One sweep of an arm."""

    history: SweepHistory
    course: Course
    regret: float


def run(sampler: str, pruning: PruningSpec, trials: int, seed: int) -> Run:
    course = Course()
    history = simulate_sweep(
        trials,
        seed,
        epochs=EPOCHS,
        objective=OBJECTIVE,
        sampler=SamplerSpec(sampler=sampler),
        pruning=pruning,
        trainer=SimulatedTrainer(),
        listeners=[course],
    )
    return Run(history, course, regret(history))


def final_score(trial: TrialHistory) -> float:
    """What a trial comes to when nobody prunes it."""
    plan = TrialPlan(
        number=trial.number,
        seed=trial.seed,
        schedule=trial.schedule.with_budget(EPOCHS),
        data=ScenesSource(source="scenes"),
        model=ModelSpec(),
        training=TrainingSpec(),
        guards=GuardSpec(),
        measure=MeasureSpec(),
    )
    found = score(OBJECTIVE, list(SimulatedTrainer().trial(plan)))
    return found.values[0] if found else 0.0


def regret(history: SweepHistory) -> float:
    """How much better the best pruned trial would have become than the best that was kept; 0 at best."""
    kept = [t.score or 0.0 for t in history.trials if t.outcome is OutcomeKind.COMPLETED]
    pruned = [final_score(t) for t in history.trials if t.outcome is OutcomeKind.PRUNED]
    return max(0.0, max(pruned, default=0.0) - max(kept, default=0.0))


def summary(values: Sequence[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4f} +- {error:.4f}"


def paired(differences: Sequence[float]) -> str:
    """The mean of paired differences with its 95 % interval by Student's t."""
    mean = statistics.mean(differences)
    if len(differences) < 2 or not statistics.stdev(differences):
        return f"{mean:+.4f}"
    half = stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1)
    return f"{mean:+.4f} ({mean - half:+.4f} to {mean + half:+.4f})"


def compared(runs: Sequence[Run], others: Sequence[Run], budget: int) -> dict[str, str]:
    """What the first arm has over the second, seed by seed."""
    pairs = list(zip(runs, others, strict=True))
    least = [min(one.course.epochs, other.course.epochs) for one, other in pairs]

    def of(figure: Callable[[Run, int], float], epochs: Sequence[int]) -> str:
        return paired(
            [figure(one, at) - figure(other, at) for (one, other), at in zip(pairs, epochs, strict=True)]
        )

    return {
        "best of all trials": of(lambda run, at: run.course.best_within(run.course.epochs), least),
        "best at equal epochs": of(lambda run, at: run.course.best_within(at), least),
        f"best within {budget} epochs": of(lambda run, at: run.course.best_within(at), [budget] * len(pairs)),
        "epochs a trial": of(lambda run, at: run.course.epochs / len(run.history.trials), least),
        "regret": of(lambda run, at: run.regret, least),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=96)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--arms", default="", help="only those whose name begins so")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    budget = chosen.trials * EPOCHS // 2
    done: dict[str, list[Run]] = {}
    for name, (sampler, pruning) in ARMS.items():
        if not name.startswith(chosen.arms):
            continue
        runs = [run(sampler, pruning, chosen.trials, seed) for seed in range(chosen.seeds)]
        done[name] = runs
        audits = [audit(each.history) for each in runs]
        judged = sum(each.finished for each in audits)
        row = {
            "arm": name,
            "best": summary([each.course.best_within(each.course.epochs) for each in runs]),
            f"best within {budget} epochs": summary([each.course.best_within(budget) for each in runs]),
            "epochs a trial": round(
                statistics.mean(len(t.evaluations) for each in runs for t in each.history.trials), 2
            ),
            "regret": summary([each.regret for each in runs]),
            "pruned": round(statistics.mean(each.pruned for each in audits), 1),
            "spared that ended in the better half": f"{sum(each.wrong for each in audits)} of {judged}",
        }
        print(json.dumps(row), flush=True)
        if (other := PAIRS.get(name)) is not None:
            print(json.dumps({name: f"against {other}"} | compared(runs, done[other], budget)), flush=True)


if __name__ == "__main__":
    main()
