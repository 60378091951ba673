"""How many of a sweep's epochs shared prefixes save, and what the bookkeeping costs: a simulated sweep.

The conductor, the sampler, the rungs and who waits for whom are the real ones; only nobody trains.

    python benchmarks/prefixes.py --trials 256 --epochs 24 --slots 8
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any

import optuna

from lossweep.search.conducting.prefixes import Prefixes
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.sharing_trainer import SharingTrainer
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.spaces.proposing.schedule_space import SpaceSpec

BOOKKEEPING = ("add", "begins", "takes", "ends", "awaited", "may_wait")


class Clock:
    """Adds up the seconds that some methods compute."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def on(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The same method, timed."""

        @functools.wraps(method)
        def timed(*given: Any, **named: Any) -> Any:
            before = time.thread_time()
            try:
                return method(*given, **named)
            finally:
                self.seconds += time.thread_time() - before

        return timed


def main() -> None:
    """Print a table, a line a seed of the search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--preset", default="cycling")
    parser.add_argument("--sampler", default="tpe")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    clock = Clock()
    for name in BOOKKEEPING:
        setattr(Prefixes, name, clock.on(getattr(Prefixes, name)))
    print("| seed | requested epochs | trained | from the cache | bookkeeping, ms a shared epoch | best |")
    print("| --- | --- | --- | --- | --- | --- |")
    for seed in range(chosen.seeds):
        clock.seconds = 0.0
        history = simulate_sweep(
            chosen.trials,
            seed,
            epochs=chosen.epochs,
            slots=chosen.slots,
            space=SpaceSpec.model_validate({"preset": chosen.preset}),
            sampler=SamplerSpec(sampler=chosen.sampler),
            trainer=SharingTrainer(SimulatedTrainer()),
        )
        epochs, winner = history.epochs, history.winner()
        share, cost = epochs.shared / epochs.requested, 1e3 * clock.seconds / max(1, epochs.shared)
        best = winner.score if winner is not None and winner.score is not None else float("nan")
        print(
            f"| {seed} | {epochs.requested} | {epochs.trained} | {share:.1%} | {cost:.2f} | {best:.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
