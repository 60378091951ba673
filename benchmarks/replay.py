"""What a search costs on real curves: the arms of ``search.py``, and any other, on the recorded sweeps.

    OMP_NUM_THREADS=1 python benchmarks/replay.py --out replayed.jsonl
    OMP_NUM_THREADS=1 python benchmarks/replay.py --out small.jsonl --small
    python benchmarks/replay.py --out mine.jsonl --sampler hub:samplers/auto_sampler --pruner median --keep
    python benchmarks/replay.py --out mine.jsonl --sampler '{sampler: gp, startup: 5}' --pruner none

``--sampler`` and ``--pruner`` take what stands under ``sampler:`` and ``pruning:`` in a sweep file, or a name
alone; ``--keep`` keeps prefixes. What is in ``--out`` already is not run again; the tables are of all that it
holds on these curves. It names what sweeps found, and the tables look up what that is worth: with another
seed in the record nothing has to be searched anew.

Sweeps go through the real conductor, eight trials side by side, an epoch a second. The record holds every
schedule of its space (docs/recorded-sweeps.md), so whatever is proposed has a curve.

*Searched* is with one of a data set's recorded seeds, by its figures on validation: all trials of a sweep
have that seed. Arms that keep no prefixes would elsewhere have a seed for each trial. Two recorded seeds are
too few for that, and one for all favours those arms, if anything: none of their trials leads by a lucky seed.
They pay for each epoch that they train, as ever, and nobody waits for anybody.

*What an incumbent is truly worth* is what its schedule came to with the data set's other seeds, which the
search has not seen: the objective (tuned F1 at the best end of a cycle), averaged over them; 0 for what
diverged. It is given on validation, whose images the search has seen, and on test, by weights and at the
threshold that validation chose, which is what a confirmation would say. A third figure is what the
incumbent's own training came to on test: other images, but by the very seed that the search went by, so that
a lucky training counts as a good schedule. It is no schedule's worth, and the only figure of a data set with
one seed.

Worth so measured has the noise of its few seeds, the same for all arms: "as good as a baseline's end" is
reached by luck now and then, by every arm alike. Search seeds tell how much the search's own dice matter;
what the recorded seeds' noise does, only the pairs beside one another do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import yaml
from recorded_space import CURVES, PlainOnes, recorded_spec
from replay_tables import MEASURES, condensed, ends, measured, of_the_record, small_over_pairs
from search_arms import ARMS, OBJECTIVE, SMALL, SMALL_ARMS, TRIALS, Arm
from search_runs import Key, Meter, Sweep, missing, rows, search_by
from search_tables import BASELINES, Row, small_tables, tables, wall_and_confirmation

from lossweep.search.conducting.settings import ControlSearch
from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.recorded_trainer import RecordedTrainer, read_record
from lossweep.search.simulation.sharing_trainer import SharingTrainer
from lossweep.spaces.files.errors import LossweepError, Problem, UserError
from lossweep.spaces.files.validation import validated
from lossweep.spaces.schedules.schedule import LossSchedule


@dataclass(frozen=True)
class Pair:
    """A data set, and the recorded seed that sweeps of it are searched with.

    Attributes:
        dataset: its name.
        seed: which of its recorded seeds.
        own: replays that.
        others: replay the data set's other seeds.
    """

    dataset: str
    seed: int
    own: RecordedTrainer
    others: tuple[RecordedTrainer, ...]

    @property
    def name(self) -> str:
        """As it stands in tables."""
        return f"{self.dataset}, seed {self.seed}"

    @cached_property
    def seen(self) -> dict[str, float]:
        """What every schedule, on one line, came to on validation with the searched seed."""
        return {line: found[0] for line, found in _final(self.own).items()}

    @cached_property
    def truth(self) -> dict[str, tuple[float, ...]]:
        """What every schedule is truly worth, in the order of `replay_tables.MEASURES`; NaN for not known."""
        each = [_final(other) for other in self.others]
        return {
            line: (
                *(float(np.mean([found[line][at] for found in each])) if each else nan for at in range(2)),
                test,
            )
            for line, (_, test) in _final(self.own).items()
        }

    @cached_property
    def digest(self) -> str:
        """Tells the curves that are searched from others of the same name."""
        return hashlib.sha256(json.dumps(self.own.curves, default=str).encode()).hexdigest()[:12]


def _final(trainer: RecordedTrainer) -> dict[str, tuple[float, float]]:
    return {line: trainer.final(LossSchedule.parse(line), OBJECTIVE) for line in trainer.curves}


def pairs_of(table: pd.DataFrame) -> dict[str, Pair]:
    """Every data set with each of its seeds."""
    pairs = []
    for name, found in table.groupby("dataset")["seed"]:
        trainers = {int(seed): RecordedTrainer.of(table, str(name), int(seed)) for seed in sorted(set(found))}
        pairs += [
            Pair(str(name), seed, own, tuple(trainers[each] for each in trainers if each != seed))
            for seed, own in trainers.items()
        ]
    return {pair.name: pair for pair in pairs}


def run(pair: Pair, arm: Arm, seed: int, trials: int, small: bool) -> dict[str, Any]:
    """One sweep; with ``small``, one that searches its control among the record's as well."""
    meter = Meter(str)
    trainer = SharingTrainer(pair.own) if arm.keeps else pair.own
    sampler = SamplerSpec(startup=4, ahead=False)
    control = ControlSearch(PlainOnes(), 0.25, 4, sampler) if small else None
    search_by(arm, Sweep(recorded_spec(), trainer, seed, trials, control, arm.keeps), meter)
    return {"epochs": meter.epochs, "seconds": meter.seconds, "steps": meter.steps, "control": meter.control}


def own_arm(sampler: str, pruner: str, keeps: bool) -> dict[str, Arm]:
    """An arm by what a sweep file would have, under a name that says it.

    Raises:
        UserError: when a sweep file could not have it.
    """
    proposing = _spec(SamplerSpec, sampler, "sampler")
    pruning = _spec(PruningSpec, pruner, "pruner")
    arm = Arm(
        proposing.sampler,
        pruning,
        keeps,
        proposing.parameters,
        proposing.startup,
        proposing.resolve(Path.cwd()).registry,
    )
    return {f"{sampler} with {pruner}{', prefixes kept' if keeps else ''}": arm}


def _spec(model: Any, text: str, key: str) -> Any:
    try:
        written = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(Problem("is no YAML", key=f"--{key}", found=repr(text))) from error
    written = written if isinstance(written, dict) else {key: text}
    return validated(model, written, lambda problem: replace(problem, file=f"--{key}"))


def main() -> int:
    """Replay what is missing, and print the tables; 2 for a mistake in what was asked for."""
    try:
        replay(arguments())
    except LossweepError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def replay(chosen: argparse.Namespace) -> None:
    """Replay what is missing, and print the tables."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pairs = pairs_of(_read(chosen.record))
    allowed = sorted({pair.dataset for pair in pairs.values()})
    if unknown := sorted(set(chosen.datasets or ()) - set(allowed)):
        found = ", ".join(unknown)
        problem = Problem("is not recorded", key="--datasets", found=found, allowed=", ".join(allowed))
        raise UserError(problem)
    arms = {**ARMS, **(own_arm(chosen.sampler, chosen.pruner, chosen.keep) if chosen.sampler else {})}
    wanted_arms = chosen.arms or (SMALL_ARMS if chosen.small else BASELINES if chosen.sampler else [*ARMS])
    wanted_arms = [*wanted_arms, *(name for name in arms if name not in ARMS)]
    trials = SMALL if chosen.small else (chosen.trials,)
    wanted = [
        (pair.name, arm, seed, count)
        for seed in range(*chosen.seeds)
        for count in trials
        for pair in pairs.values()
        if not chosen.datasets or pair.dataset in chosen.datasets
        for arm in wanted_arms
    ]

    def replayed(key: Key) -> dict[str, Any]:
        space, name, seed, count = key
        found = run(pairs[space], arms[name], seed, count, chosen.small)
        return {"curves": pairs[space].digest, **found}

    def valid(row: Row) -> bool:
        return row["space"] in pairs and row["curves"] == pairs[row["space"]].digest

    missing(chosen.out, wanted, replayed, valid)
    print("\n".join(told([row for row in rows(chosen.out) if valid(row)], pairs, chosen.small)))


def _read(path: Path) -> pd.DataFrame:
    try:
        return read_record(path)
    except (OSError, ValueError) as error:  # pyarrow's are ValueErrors
        hint = "benchmarks/record.py --collect writes one"
        said = " ".join(str(error).split())[:200]
        raise UserError(
            Problem(f"is no record: {said}", file=str(path), key="--record", hint=hint)
        ) from error


def told(found: Sequence[Row], pairs: Mapping[str, Pair], small: bool) -> list[str]:
    """All tables of some runs."""
    lines = [] if small else of_the_record([*pairs.values()])
    for measure in MEASURES:
        if not (those := measured(found, pairs, measure)):
            continue
        lines.append(f"\n# What incumbents are worth: {measure}\n")
        if small:
            lines += [*small_over_pairs(those), "", *small_tables(those)]
            continue
        if any(row["arm"] == BASELINES[0] for row in those):
            lines += ends(those, BASELINES[0])
        lines += [*condensed(those), *tables(those)]
        if {"ours", *BASELINES} <= {row["arm"] for row in those}:
            lines += wall_and_confirmation(those)
    return lines


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--record", type=Path, default=CURVES)
    parser.add_argument("--small", action="store_true", help="16, 24 and 32 trials, with a searched control")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 20), metavar=("FROM", "TO"))
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--datasets", nargs="+")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS))
    parser.add_argument("--sampler", help="a name, an import path, hub:samplers/NAME, or a mapping in YAML")
    parser.add_argument("--pruner", default="none", help="a name, an import path, or a mapping in YAML")
    parser.add_argument("--keep", action="store_true", help="keep prefixes: epochs trained before are free")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
