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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import optuna
from search_arms import ARMS, EPOCHS, OBJECTIVE, SMALL, SMALL_ARMS, TRIALS
from search_runs import Key, Meter, Sweep, missing, rows, search_by
from search_tables import Row, paired_ends, paired_leads, small_tables, tables, wall_and_confirmation

from lossweep.search.conducting.settings import ControlSearch
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.courses import Curves
from lossweep.search.simulation.prefix_trainer import Noise, PrefixTrainer
from lossweep.search.simulation.sweeps import VEHICLES
from lossweep.spaces.proposing.control_space import ControlSpace, control_rates
from lossweep.spaces.proposing.schedule_space import SpaceSpec, preset_space
from lossweep.spaces.schedules.schedule import SHAPES
from lossweep.spaces.seeds import short_seed

SCENES: Final = Curves(speed=1.0, spread=0.75)
NOISE: Final = Noise(seed=0.036, prefix=0.0486, memory=0.717, evaluation=0.0317)
"""As ``curves.py --records`` fits them to the recorded sweeps of the scenes."""
PLAIN: Final = 0.78
"""The ceiling of plain cross-entropy at which two in a hundred schedules are truly better than it."""
FOUR_SPACES: Final = ("tied", "free", "continuous", "adversarial")
SMALL_SPACES: Final = ("close",)


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
    curves: Curves = SCENES


def settings() -> dict[str, Setting]:
    """The spaces that are searched. In ``close``, plain cross-entropy is nearly as good as the best."""
    tied = SpaceSpec.model_validate({"preset": "cycling"})
    return {
        "tied": Setting(tied),
        "free": Setting(_free()),
        "continuous": Setting(_continuous()),
        "adversarial": Setting(tied, replace(SCENES, haste=0.35)),
        "close": Setting(tied, replace(SCENES, plain=PLAIN)),
    }


def run(key: Key, small: bool) -> dict[str, Any]:
    """One sweep; with ``small``, one that searches its control as well."""
    space, name, seed, trials = key
    setting, arm = settings()[space], ARMS[name]
    common = short_seed(seed, "common") if arm.keeps else None
    trainer = PrefixTrainer(setting.curves, NOISE, common_seed=common, apart=not arm.keeps, keeps=arm.keeps)
    meter = Meter(lambda schedule: round(trainer.true_score(schedule, OBJECTIVE, EPOCHS), 5))
    control = None
    if small:
        rates = ControlSpace(control_rates(setting.space), EPOCHS, VEHICLES, SHAPES, (0, 50))
        control = ControlSearch(rates, 0.25, 4, SamplerSpec(startup=4, ahead=False))
    search_by(arm, Sweep(setting.space, trainer, seed, trials, control, arm.keeps), meter)
    return {"epochs": meter.epochs, "seconds": meter.seconds, "steps": meter.steps, "control": meter.control}


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
    missing(chosen.out, wanted, lambda key: run(key, chosen.small))
    found = rows(chosen.out)
    print("\n".join(told_small(found) if chosen.small else told(found)))


def told(found: Sequence[Row]) -> list[str]:
    """The tables of large budgets; seeds are paired at the ends."""
    own = [arm for arm in ("ours", "ours, refilled") if any(row["arm"] == arm for row in found)]
    others = ("random", "One-Epoch", "TPE, stock", "TPE + rungs", "ours, costs ignored")
    return [*tables(found), *wall_and_confirmation(found), *paired_ends(found, own, others)]


def told_small(found: Sequence[Row]) -> list[str]:
    """The tables of small budgets."""
    own = [arm for arm in SMALL_ARMS if arm.startswith("ours")]
    return [*small_tables(found), *paired_leads(found, own, ("random", "One-Epoch", "TPE, stock"))]


if __name__ == "__main__":
    main()
