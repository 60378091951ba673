"""Are simulated curves like real ones? Fits the simulation to recorded sweeps, and shows both side by side.

    OMP_NUM_THREADS=1 python benchmarks/curves.py --records benchmarks/recorded/*.parquet

Records (``benchmarks/record.py``) hold AP by data set, seed, schedule and epoch; every schedule is trained
with the same seeds. Fitted by moments are the noise (a seed's own, a prefix's with its memory, and an
evaluation's), how fast curves rise (`Curves.speed`) and how far schedules lie apart (`Curves.spread`). What
was not fitted says whether the simulation may be trusted: how well early rank foretells the last one, and how
often two curves change places. The same schedules and seeds are simulated. Without ``--records`` the
simulation at its defaults is described alone.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from lossweep.search.simulation.courses import Curves
from lossweep.search.simulation.prefix_trainer import Noise, PrefixTrainer, trial_plan
from lossweep.spaces.schedules.schedule import LossSchedule

Floats = NDArray[np.float64]
SPEEDS: Final = (0.25, 0.4, 0.6, 0.8, 1.0, 1.4, 2.0, 3.0)
SPREADS: Final = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
DEFAULT: Final = tuple(
    f"{first} @{rate} x{length} -> {last} @{small} x{12 - length} | 12 epochs"
    for first, last in itertools.product(("weighted_ce(power=0.5)", "focal"), ("jaccard", "dice"))
    for rate, small, length in itertools.product(("1e-3", "3e-3", "1e-2"), ("1e-4", "1e-3"), (3, 6))
)


@dataclass(frozen=True, slots=True)
class Described:
    """What a set of curves is like.

    Attributes:
        spread: standard deviation of the last AP over schedules, noise taken out.
        between_seeds: standard deviation of the last AP over seeds.
        common: of that, what all schedules with one seed have in common.
        memory: correlation of the noise from one epoch to the next, an evaluation's own taken out.
        evaluation: standard deviation of what is drawn anew with each evaluation.
        rise: share of the budget after which the mean curve has nine tenths of its last AP.
        foretold: rank correlation of AP after a share of the budget with the last one, within a seed.
        crossings: share of pairs of schedules whose order at a quarter of the budget is not the last one.
    """

    spread: float
    between_seeds: float
    common: float
    memory: float
    evaluation: float
    rise: float
    foretold: Mapping[float, float]
    crossings: float


def describe(ap: Floats) -> Described:
    """Describe curves of shape (seeds, schedules, epochs); at least two seeds."""
    seeds, schedules, epochs = ap.shape
    noise = (ap - ap.mean(axis=0)) * np.sqrt(seeds / (seeds - 1))
    own = noise - noise.mean(axis=1, keepdims=True)
    settled = own[:, :, epochs // 3 :]
    lags = [float(np.mean(settled[:, :, : settled.shape[2] - lag] * settled[:, :, lag:])) for lag in range(3)]
    memory = float(np.clip(lags[2] / lags[1], 0.0, 0.99)) if lags[1] > 0 else 0.0
    lasting = min(lags[0], lags[1] / memory) if memory > 0 else 0.0
    last = ap[:, :, -1]
    variance = float(noise[:, :, -1].var())
    shown = float(last.mean(axis=0).var()) - variance / seeds
    mean = ap.mean(axis=(0, 1))
    quarter = ap[:, :, epochs // 4 - 1]
    pairs = np.triu_indices(schedules, 1)
    changed = [
        np.mean(np.sign(a[pairs[0]] - a[pairs[1]]) != np.sign(b[pairs[0]] - b[pairs[1]]))
        for a, b in zip(quarter, last, strict=True)
    ]
    return Described(
        spread=float(np.sqrt(max(0.0, shown))),
        between_seeds=float(np.sqrt(variance)),
        common=float(np.sqrt(max(0.0, noise[:, :, -1].mean(axis=1).var()))),
        memory=memory,
        evaluation=float(np.sqrt(max(0.0, lags[0] - lasting))),
        rise=float((1 + np.argmax(mean >= 0.9 * mean[-1])) / epochs),
        foretold={
            share: float(np.mean([spearmanr(a[:, round(share * epochs) - 1], a[:, -1])[0] for a in ap]))
            for share in (1 / epochs, 0.25, 0.5, 0.75)
        },
        crossings=float(np.mean(changed)),
    )


def fit(found: Described, schedules: Sequence[LossSchedule], seeds: int) -> PrefixTrainer:
    """The simulation whose noise is as found, and whose curves rise and lie apart the most alike."""
    prefix = max(0.0, found.between_seeds**2 - found.common**2 - found.evaluation**2) ** 0.5
    noise = Noise(found.common, prefix, found.memory, found.evaluation)

    def away(curves: Curves) -> float:
        made = describe(simulated(PrefixTrainer(curves=curves, noise=noise), schedules, seeds))
        return 4.0 * abs(made.rise - found.rise) + abs(np.log((made.spread + 1e-4) / (found.spread + 1e-4)))

    best = min((Curves(speed=speed) for speed in SPEEDS), key=lambda each: away(each))
    best = min((replace(best, spread=spread) for spread in SPREADS), key=lambda each: away(each))
    return PrefixTrainer(curves=best, noise=noise)


def simulated(trainer: PrefixTrainer, schedules: Sequence[LossSchedule], seeds: int) -> Floats:
    """AP of simulated trainings, of shape (seeds, schedules, epochs); what diverged stays as it ended."""
    return np.array([[_curve(trainer, each, seed) for each in schedules] for seed in range(seeds)])


def _curve(trainer: PrefixTrainer, schedule: LossSchedule, seed: int) -> list[float]:
    course = trainer.trial(trial_plan(schedule, seed, schedule.budget))
    return _whole([each.metrics["ap"] for each in course], schedule.budget)


def recorded(path: Path) -> dict[str, tuple[list[LossSchedule], Floats]]:
    """The schedules and their AP by data set, of those that were trained with every seed.

    Data sets with one seed are left out: what is noise in them nobody can tell.
    """
    table = pd.read_parquet(path)
    found = {}
    for name, frame in table.groupby("dataset"):
        if frame["seed"].nunique() < 2:
            print(f"{name} was recorded with one seed, and is left out")
            continue
        wide = frame.pivot_table(index="schedule", columns=["seed", "epoch"], values="ap")
        seeds, epochs = sorted(frame["seed"].unique()), int(frame["epoch"].max())
        wide = wide.reindex(columns=pd.MultiIndex.from_product([seeds, range(1, epochs + 1)]))
        started = wide[[(seed, 1) for seed in seeds]].notna().all(axis=1)
        curves = wide[started].to_numpy().reshape(-1, len(seeds), epochs).transpose(1, 0, 2)
        whole = [[_whole(list(one[~np.isnan(one)]), epochs) for one in seed] for seed in curves]
        found[str(name)] = [LossSchedule.parse(line) for line in wide[started].index], np.array(whole)
    return found


def _whole(values: list[float], epochs: int) -> list[float]:
    return values + [values[-1]] * (epochs - len(values))


def table(columns: Mapping[str, Described]) -> list[str]:
    """Side by side."""
    lines = [f"| | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
    for name, words in (
        ("spread", "sd over schedules, last AP"),
        ("between_seeds", "sd over seeds, last AP"),
        ("common", "of it, common to a seed"),
        ("memory", "memory of the noise, per epoch"),
        ("evaluation", "sd of an evaluation"),
        ("rise", "nine tenths reached at"),
        ("crossings", "pairs that change places after a quarter"),
    ):
        cells = " | ".join(f"{getattr(each, name):.3f}" for each in columns.values())
        lines.append(f"| {words} | {cells} |")
    for share in next(iter(columns.values())).foretold:
        cells = " | ".join(f"{each.foretold[share]:.2f}" for each in columns.values())
        lines.append(f"| rank correlation with the last AP, at {share:.2f} | {cells} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=Path, nargs="*", default=[])
    chosen = parser.parse_args()
    own = [LossSchedule.parse(line) for line in DEFAULT]
    columns = {"simulated, as it is": describe(simulated(PrefixTrainer(), own, 3))}
    for path in chosen.records:
        for name, (schedules, ap) in recorded(path).items():
            columns[f"{name}, recorded"] = describe(ap)
            fitted = fit(columns[f"{name}, recorded"], schedules, len(ap))
            columns[f"{name}, fitted"] = describe(simulated(fitted, schedules, len(ap)))
            print(f"{name}: {fitted.curves}, {fitted.noise}")
    print("\n".join(table(columns)))


if __name__ == "__main__":
    main()
