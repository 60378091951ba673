"""Two real sweeps through the command line, with and without what makes a search cheaper, at equal epochs.

    OMP_NUM_THREADS=1 python benchmarks/real_sweeps.py --work /tmp/real [--sweep examples/scenes.yaml]

*With*: one seed for the whole search, prefixes shared, rungs that pause, proposals by gain an epoch.
*Without*: a seed a trial, rungs that end trials, TPE. Both search their control as hard. The second sweep is
gone on with (``resume --set budget.trials=...``) until it has trained about as many epochs as the first; then
both confirm their leader with fresh seeds. Prints what each spent and found, with the verdicts' own words.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from lossweep import Sweep, UserError
from lossweep.dashboards.comparison.two_sweeps import build_comparison
from lossweep.search.study.epochs import Epochs

WITH: Final = {"sampler.sampler": "cost_aware"}
WITHOUT: Final = {"sampler.sampler": "tpe", "seeds": "own", "pruning.pause": "false"}


def main() -> None:
    """Run what is not there yet, and print the comparison."""
    options = arguments()
    home = options.work / "home"
    for seed in options.seeds:
        names = f"with-{seed}", f"without-{seed}"
        settings = {"seed": str(seed), "budget.trials": str(options.trials)}
        started = time.monotonic()
        submit(options.sweep, names[0], home, {**settings, **WITH})
        wanted = Epochs.of(Sweep.load(names[0], home=home).history.trials).trained
        submit(options.sweep, names[1], home, {**settings, **WITHOUT})
        fill(names[1], home, wanted)
        print(f"searched in {time.monotonic() - started:.0f} s", file=sys.stderr)
        for name in names:
            lossweep("confirm", name, "--top", "1", "--seeds", str(options.fresh), home=home)
        first, second = (Sweep.load(name, home=home).history for name in names)
        print(f"\nseed {seed}\n\n| | {names[0]} | {names[1]} |\n| --- | --- | --- |")
        print(f"| epochs of the search | {' | '.join(str(Epochs.of(s.trials)) for s in (first, second))} |")
        for what, left, right in build_comparison(first, second).rows:
            print(f"| {what} | {left} | {right} |")


def fill(name: str, home: Path, wanted: int) -> None:
    """Give a sweep more trials until about so many epochs were trained; the last may be half a trial off."""
    while True:
        history = Sweep.load(name, home=home).history
        trained = Epochs.of(history.trials).trained
        mean = trained / max(1, history.ended)
        more = round((wanted - trained) / mean)
        if more < 1:
            return
        trials = f"budget.trials={history.budget_trials + more}"
        lossweep("resume", name, "--set", trials, home=home)


def submit(sweep: Path, name: str, home: Path, settings: dict[str, str]) -> None:
    """Submit a sweep without its confirmation, unless it was."""
    try:
        Sweep.load(name, home=home)
    except UserError:  # there is none yet
        overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        lossweep("submit", str(sweep), "--name", name, *overrides, "--set", "confirm=null", home=home)


def lossweep(*arguments: str, home: Path) -> None:
    """Run one command, its progress lines to standard error."""
    command = [sys.executable, "-m", "lossweep", *arguments, "--home", str(home)]
    environment = {**os.environ, "COLUMNS": "200"}
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sweep", type=Path, default=Path("examples/scenes.yaml"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11])
    parser.add_argument("--fresh", type=int, default=5, help="fresh seeds of each confirmation")
    return parser.parse_args()


if __name__ == "__main__":
    main()
