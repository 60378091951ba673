"""How long a proposal takes as a study grows: stock TPE on SQLite and in memory, and lossweep's.

    python benchmarks/proposals.py [--sizes 100 1000 5000] [--proposals 50]

A study of simulated outcomes over the preset ``everything`` is filled, then proposals are timed. One
proposal is the sampling of every parameter of a schedule and its writing to the database. ``ask`` is what a
driver waits for when the proposal was prepared while trials train. The proposals of both TPEs are compared.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from search.proposals import Mirror
from search.sampling import SamplerSpec, Sampling
from search.seeds import derive
from search.study_record import Proposal, StudyRecord
from spaces.class_prior import ClassPrior
from spaces.schedule import LossSchedule
from spaces.schedule_space import ScheduleSpace, SpaceSpec

SPACE = ScheduleSpace(
    SpaceSpec.model_validate({"preset": "everything"}),
    24,
    ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01)),
)


class StockTPE(TPESampler):
    """Optuna's, reseeded as lossweep's is, so that the proposals can be compared."""

    def reseed(self, seed: int) -> None:
        """Start the random state anew."""
        self._rng.rng.seed(seed)
        self._random_sampler._rng.rng.seed(seed)


class StockSampling(Sampling):
    """Optuna's own TPE with the settings of lossweep's."""

    def _build(self, seed: int) -> TPESampler:
        return StockTPE(multivariate=True, group=True, constant_liar=True, n_startup_trials=10, seed=seed)

    def sampler(self, number: int) -> Any:
        """Return it, reseeded for this trial."""
        sampler = super().sampler(number)
        sampler.reseed(derive(self._seed, "sampler", number))
        return sampler


def history(trials: int) -> list[FrozenTrial]:
    """Random trials that end as trials do: half completed, most others pruned, a few diverged or failed."""
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=0))
    dice = random.Random(0)
    for _ in range(trials):
        trial = study.ask()
        SPACE.suggest(trial)
        end = dice.random()
        if end < 0.5:
            study.tell(trial, dice.random())
        elif end < 0.9:
            trial.report(dice.random(), dice.randint(1, 12))
            study.tell(trial, state=TrialState.PRUNED)
        elif end < 0.96:
            trial.set_constraint("diverged", 1.0 + dice.random())
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, state=TrialState.FAIL)
    return study.get_trials(deepcopy=False)


def filled(trials: list[FrozenTrial], folder: Path, name: str) -> optuna.Study:
    """A study on SQLite with these trials."""
    url = f"sqlite:///{folder / name}.db?timeout=60"
    study = optuna.create_study(storage=url, direction="maximize", sampler=RandomSampler(seed=0))
    study.add_trials(trials)
    return study


def mirrored(sampling: Sampling, trials: list[FrozenTrial]) -> Mirror:
    mirror = Mirror(["maximize"], SPACE, sampling)
    mirror.load(trials)
    return mirror


def timed(count: int, work: Callable[[], Any]) -> tuple[np.ndarray, list[Any]]:
    """Milliseconds of each call but the first, which warms up, and what the calls returned."""
    work()
    spans, results = [], []
    for _ in range(count):
        start = time.perf_counter()
        results.append(work())
        spans.append(1e3 * (time.perf_counter() - start))
    return np.array(spans), results


def row(size: int, count: int, folder: Path) -> dict[str, Any]:
    """Every way of proposing, on a study of one size. Every third proposal completes, as in a sweep."""
    trials = history(size)

    def proposing(
        mirror: Mirror, record: StudyRecord | None
    ) -> Callable[[], tuple[LossSchedule, FrozenTrial]]:
        def one() -> tuple[LossSchedule, FrozenTrial]:
            schedule, trial = mirror.propose()
            if record is not None:
                record.create(Proposal(schedule, 0, None, trial.params, trial.distributions))
            if trial.number % 3 == 0:
                value = (trial.number % 97) / 97
                mirror.finish(trial.number, TrialState.COMPLETE, [value], {}, {})
            return schedule, trial

        return one

    stock, stock_proposals = timed(
        count, proposing(mirrored(StockSampling(SamplerSpec(), 1, 1), trials), None)
    )
    steady, steady_proposals = timed(count, proposing(mirrored(Sampling(SamplerSpec(), 1, 1), trials), None))
    record = StudyRecord(filled(trials, folder, f"steady{size}"))
    written, _ = timed(count, proposing(mirrored(Sampling(SamplerSpec(), 1, 1), trials), record))
    database = filled(trials, folder, f"stock{size}")
    database.sampler = StockSampling(SamplerSpec(), 1, 1).sampler(size)
    on_sqlite, _ = timed(min(count, 10), lambda: SPACE.suggest(database.ask()))
    ready = Proposal(
        steady_proposals[0][0], 0, None, steady_proposals[0][1].params, steady_proposals[0][1].distributions
    )
    ask, _ = timed(count, lambda: record.create(ready))
    same = sum(a[1].params == b[1].params for a, b in zip(stock_proposals, steady_proposals, strict=True))
    figures = {
        "stock TPE on SQLite": on_sqlite,
        "stock TPE in memory": stock,
        "lossweep TPE in memory": steady,
        "lossweep TPE and writing": written,
        "ask of a prepared proposal": ask,
    }
    return {
        "trials": size,
        "same proposals": f"{same} of {count}",
        **{
            name: {
                "median ms": round(float(np.median(ms)), 1),
                "p99 ms": round(float(np.quantile(ms, 0.99)), 1),
            }
            for name, ms in figures.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--proposals", type=int, default=50)
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", ExperimentalWarning)
    with tempfile.TemporaryDirectory() as folder:
        for size in chosen.sizes:
            print(json.dumps(row(size, chosen.proposals, Path(folder)), indent=2), flush=True)


if __name__ == "__main__":
    main()
