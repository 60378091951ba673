"""A small sweep from Python: four trials on procedural satellite scenes, in about a minute, without a GPU.

python examples/run_a_sweep.py [FOLDER] keeps what it recorded in FOLDER (runs), and goes on with that.
"""

from __future__ import annotations

import sys
from pathlib import Path

import lossweep

SHORT = {
    "name": "short",
    "budget.trials": 4,
    "budget.epochs": 3,
    "data.train": 32,
    "data.val": 16,
    "data.test": 16,
    "confirm.seeds": 2,
}
"""Over the file's settings, so that it is over soon."""


def main(folder: Path) -> None:
    """Run the sweep, and leave its report and its best schedule in the folder."""
    found = lossweep.sweep(Path(__file__).with_name("scenes.yaml"), SHORT, home=folder, resume=True)
    print(found)
    columns = ["outcome", "control", "score", "metrics.recall", "metrics.precision"]
    print(found.trials_dataframe()[columns])
    print("report:", found.report(folder / "short.html"))
    if found.best is not None:
        schedule = found.export(folder / "best.yaml")
        print("best schedule:", folder / "best.yaml", "with the threshold", schedule.threshold)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs"))
