"""Does the search search? TPE against random, rungs against stock ASHA on epochs, on simulated trials.

    python benchmarks/search_quality.py [--trials 96] [--seeds 10]

Every arm runs the same sweeps through the real conductor. Reported are the best score after all epochs and
after half of them, as mean and standard error over the seeds, and the pruner's regret: how much better the
best pruned trial would have become than the best one that was kept, found out by training every pruned
schedule to its end (in the simulation). The curves are made up (`search.simulation.simulated_trainer`): what
holds here holds for curves that cross as those do. Not named ``search.py``: next to other scripts that would
hide the package.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence

import optuna

from lossweep.search.pruning import PruningSpec, audit
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.sweeps import simulate_sweep
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
    "random, rungs": ("random", PruningSpec()),
    "random, median": ("random", PruningSpec(pruner="median")),
    "random, stock ASHA on epochs": ("random", ASHA),
    "TPE, nothing pruned": ("tpe", PruningSpec(pruner="none")),
    "TPE, rungs": ("tpe", PruningSpec()),
    "TPE, rungs, nothing spared": ("tpe", PruningSpec(audit=0.0)),
    "TPE, stock ASHA on epochs": ("tpe", ASHA),
}


def sweep(sampler: str, pruning: PruningSpec, trials: int, seed: int) -> SweepHistory:
    return simulate_sweep(
        trials,
        seed,
        epochs=EPOCHS,
        objective=OBJECTIVE,
        sampler=SamplerSpec(sampler=sampler),
        pruning=pruning,
        trainer=SimulatedTrainer(),
    )


def best_within(history: SweepHistory, epochs: int) -> float:
    """The best completed score after so many epochs in all, trials taken one after another."""
    spent, best = 0, 0.0
    for trial in history.trials:
        spent += len(trial.evaluations)
        if spent > epochs:
            break
        if trial.outcome is OutcomeKind.COMPLETED:
            best = max(best, trial.score or 0.0)
    return best


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=96)
    parser.add_argument("--seeds", type=int, default=10)
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    budget = chosen.trials * EPOCHS // 2
    for name, (sampler, pruning) in ARMS.items():
        histories = [sweep(sampler, pruning, chosen.trials, seed) for seed in range(chosen.seeds)]
        audits = [audit(history) for history in histories]
        judged = sum(each.finished for each in audits)
        row = {
            "arm": name,
            "best": summary([best_within(h, chosen.trials * EPOCHS) for h in histories]),
            f"best within {budget} epochs": summary([best_within(h, budget) for h in histories]),
            "epochs a trial": round(
                statistics.mean(len(t.evaluations) for h in histories for t in h.trials), 2
            ),
            "regret": summary([regret(history) for history in histories]),
            "pruned": round(statistics.mean(each.pruned for each in audits), 1),
            "spared that ended in the better half": f"{sum(each.wrong for each in audits)} of {judged}",
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
