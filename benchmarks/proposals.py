"""How long a proposal takes as a study grows: stock TPE on SQLite and in memory, and lossweep's.

    OMP_NUM_THREADS=1 python benchmarks/proposals.py [--sizes 100 1000 5000] [--proposals 100]

Studies of simulated outcomes over the preset ``everything`` are filled, then proposals are timed, the sizes
and the ways of proposing in turn, so that what disturbs the machine disturbs all. A proposal is the
sampling of every parameter of a schedule; ``written``, with its writing to the database; ``ask`` is what a
driver waits for when the proposal was prepared while trials train. The proposals of both TPEs are compared.
Stock TPE takes seconds on large studies and proposes a fifth as often. Prints Markdown.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from lossweep.search.sampling import SamplerSpec, Sampling
from lossweep.search.sampling.proposals import Mirror
from lossweep.search.study.record import Proposal, StudyRecord
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.proposing.schedule_space import ScheduleSpace, SpaceSpec
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.seeds import short_seed

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
        sampler.reseed(short_seed(self._seed, "sampler", number))
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


class Way:
    """One way of proposing on a study of one size.

    Attributes:
        spans: milliseconds of each proposal but the first, which warms up.
        proposed: the parameters of each.
    """

    def __init__(self, mirror: Mirror, record: StudyRecord | None = None) -> None:
        self._mirror, self._record = mirror, record
        self._open: list[int] = []
        self.spans: list[float] = []
        self.proposed: list[dict[str, Any]] = []

    def propose(self) -> None:
        """Propose and time it. Two trials run at a time, as on two workers; the older one then completes."""
        start = time.perf_counter()
        schedule, trial = self._mirror.propose()
        if self._record is not None:
            self._record.create(Proposal(schedule, 0, None, trial.params, trial.distributions))
        span = 1e3 * (time.perf_counter() - start)
        if self.proposed:
            self.spans.append(span)
        self.proposed.append(trial.params)
        self._open.append(trial.number)
        if len(self._open) > 2:
            done = self._open.pop(0)
            self._mirror.finish(done, TrialState.COMPLETE, [(done % 97) / 97], {}, {})


class StockOnDatabase(Way):
    """Optuna's study and sampler on SQLite, as they are usually used."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self.spans, self.proposed = [], []

    def propose(self) -> None:
        """Propose and time it."""
        start = time.perf_counter()
        trial = self._study.ask()
        SPACE.suggest(trial)
        span = 1e3 * (time.perf_counter() - start)
        if self.proposed:
            self.spans.append(span)
        self.proposed.append(trial.params)


class Ask(Way):
    """What is left of a proposal that was prepared ahead: to write it down."""

    def __init__(self, record: StudyRecord, schedule: LossSchedule, trial: FrozenTrial) -> None:
        self._proposal = Proposal(schedule, 0, None, trial.params, trial.distributions)
        self._record = record
        self.spans, self.proposed = [], []

    def propose(self) -> None:
        """Write it and time it."""
        start = time.perf_counter()
        self._record.create(self._proposal)
        self.spans.append(1e3 * (time.perf_counter() - start))


def ways(size: int, folder: Path) -> dict[str, Way]:
    """Every way of proposing, on a study of one size."""
    trials = history(size)
    ours = lambda: mirrored(Sampling(SamplerSpec(), 1, 1), trials)  # noqa: E731  # short, and used twice
    record = StudyRecord(filled(trials, folder, f"ours{size}"))
    database = filled(trials, folder, f"stock{size}")
    database.sampler = StockSampling(SamplerSpec(), 1, 1).sampler(size)
    schedule, trial = ours().propose()
    return {
        "stock TPE on SQLite": StockOnDatabase(database),
        "stock TPE in memory": Way(mirrored(StockSampling(SamplerSpec(), 1, 1), trials)),
        "lossweep's TPE": Way(ours()),
        "lossweep's TPE, written": Way(ours(), record),
        "ask of a prepared proposal": Ask(record, schedule, trial),
    }


def table(sizes: Sequence[int], found: dict[int, dict[str, Way]]) -> list[str]:
    """Medians and 99th percentiles in milliseconds, and the growth from the smallest to the largest study."""
    small, large = sizes[0], sizes[-1]
    lines = [
        f"| milliseconds: median (p99) | {' | '.join(f'{size:,} trials' for size in sizes)} | growth |",
        "| --- " * (len(sizes) + 2) + "|",
    ]
    for name in found[small]:
        spans = {size: np.array(found[size][name].spans) for size in sizes}
        cells = [f"{np.median(each):.0f} ({np.quantile(each, 0.99):.0f})" for each in spans.values()]
        growth = np.quantile(spans[large] / spans[small], [0.5, 0.25, 0.75])
        lines.append(f"| {name} | {' | '.join(cells)} | {growth[0]:.2f}x ({growth[1]:.2f}-{growth[2]:.2f}) |")
    for size in sizes:
        stock, ours = (found[size][name].proposed for name in ("stock TPE in memory", "lossweep's TPE"))
        same = sum(a == b for a, b in zip(stock, ours, strict=False))
        lines.append(
            f"\n{size:,} trials: {same} of {len(stock)} proposals of stock TPE and lossweep's are equal."
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--proposals", type=int, default=100)
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", ExperimentalWarning)
    with tempfile.TemporaryDirectory() as folder:
        found = {size: ways(size, Path(folder)) for size in chosen.sizes}
        for turn in range(chosen.proposals + 1):
            for each in found.values():
                for name, way in each.items():
                    if turn % 5 == 0 or not name.startswith("stock"):
                        way.propose()
        print("\n".join(table(chosen.sizes, found)))


if __name__ == "__main__":
    main()
