"""How many trials should the control's search have, and which sampler? Regret on planted scores, both sides.

The search for plain cross-entropy and that for schedules share nothing but the budget; so each is run once at
its longest, through the real conductor, and every share reads its regret off after as many trials as it gets:
how much worse than the best there is the trial is, in seed standard deviations, that leads by its one score.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Final

from lossweep.search.conducting.settings import ControlSearch
from lossweep.search.control_spec import ControlSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.planted_scores import TOP, PlantedScores
from lossweep.search.simulation.sweeps import VEHICLES, simulate_sweep
from lossweep.search.study.history import TrialHistory
from lossweep.search.study.ranking import best_plain, leaders
from lossweep.spaces.proposing.control_space import ControlSpace, control_rates
from lossweep.spaces.proposing.schedule_space import SpaceSpec
from lossweep.spaces.schedules.controls import NAMED

EPOCHS: Final = 4
SPACE: Final = SpaceSpec.model_validate({"preset": "cycling", "cycles": {"low": 0, "high": 1}})
BUDGETS: Final = (16, 32, 64)
SHARES: Final = (0.125, 0.25, 0.5)
AT_LEAST: Final = (2, 4, 8)
SAMPLERS: Final = ("tpe", "random", "gp")
DECADES: Final = (3.0, 12.0)
"""How much rates matter: as on small scenes, and more."""
MOST: Final = 32
"""Trials of the control's search: half of the largest budget."""

Curve = list[float]
"""Regret after 1, 2, ... trials."""


def shares(worlds: int, seed: int) -> Iterator[str]:
    """Tables: regret by the number of trials, then for every share of every budget."""
    numbers = range(5_000_000 + 1_000 * seed, 5_000_000 + 1_000 * seed + worlds)
    for decade in DECADES:
        trainers = [PlantedScores(world=number, decade=decade) for number in numbers]
        plain = {name: [_plain_curve(trainer, name) for trainer in trainers] for name in SAMPLERS}
        proposals = [_proposal_curve(trainer) for trainer in trainers]
        yield f"A rate that is a factor of ten off costs {decade:g} seed SDs; {worlds} worlds."
        yield _by_trials(plain, proposals)
        yield _by_share(plain, proposals)


def _plain_curve(trainer: PlantedScores, sampler: str) -> Curve:
    controls = ControlSpec()
    rates = ControlSpace(control_rates(SPACE), EPOCHS, VEHICLES, controls.shapes, controls.warmup_steps)
    spec = SamplerSpec(sampler=sampler, startup=controls.sampler.startup, ahead=False)
    history = simulate_sweep(
        MOST,
        trainer.world,
        epochs=EPOCHS,
        space=SPACE,
        control_search=ControlSearch(rates, share=1.0, at_least=controls.at_least, sampler=spec),
        sampler=SamplerSpec(ahead=False),
        trainer=trainer,
    )
    found = [best_plain(history.trials[:n], ("maximize",)) for n in range(1, MOST + 1)]
    return [_regret(trainer, trial) for trial in found]


def _proposal_curve(trainer: PlantedScores) -> Curve:
    most = BUDGETS[-1]
    history = simulate_sweep(
        most,
        trainer.world,
        epochs=EPOCHS,
        space=SPACE,
        controls={},
        sampler=SamplerSpec(ahead=False),
        trainer=trainer,
    )
    found = [next(iter(leaders(history.trials[:n], ("maximize",), 1)), None) for n in range(1, most + 1)]
    return [_regret(trainer, trial) for trial in found]


def _regret(trainer: PlantedScores, trial: TrialHistory | None) -> float:
    quality = trainer.quality(trial.schedule) if trial is not None else TOP - 10 * trainer.deviation
    return (TOP - quality) / trainer.deviation


def _by_trials(plain: dict[str, list[Curve]], proposals: Sequence[Curve]) -> str:
    counts = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    lines = [
        f"| regret in seed SDs | {' | '.join(f'{n} trials' for n in counts)} |",
        "| --- " * (len(counts) + 1) + "|",
    ]
    rows = {f"plain cross-entropy, {name}": curves for name, curves in plain.items()}
    for name, curves in {**rows, "schedules, tpe": proposals}.items():
        cells = [_at(curves, n) if n <= len(curves[0]) else "" for n in counts]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_share(plain: dict[str, list[Curve]], proposals: Sequence[Curve]) -> str:
    lines = [
        "| budget | share | at least | plain trials | proposals | "
        + " | ".join(f"regret of plain, {name}" for name in SAMPLERS)
        + " | regret of proposals |",
        "| --- " * (6 + len(SAMPLERS)) + "|",
    ]
    for budget in BUDGETS:
        named = min(len(NAMED), budget // 4)
        for share in SHARES:
            for at_least in AT_LEAST:
                count = max(min(at_least, budget // 2), int(share * budget))
                left = budget - named - count
                cells = [_at(plain[name], count) for name in SAMPLERS]
                lines.append(
                    f"| {budget} | {share:g} | {at_least} | {count} | {left} | {' | '.join(cells)} | "
                    f"{_at(proposals, left)} |"
                )
    return "\n".join(lines)


def _at(curves: Sequence[Curve], trials: int) -> str:
    values = [curve[trials - 1] for curve in curves]
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.2f} ± {error:.2f}"
