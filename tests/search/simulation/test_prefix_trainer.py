"""Noise that belongs to the seed and to what was trained, and prefixes that are kept."""

from __future__ import annotations

import dataclasses
import statistics

import pytest

from lossweep.search.simulation.courses import Curves
from lossweep.search.simulation.prefix_trainer import Noise, PrefixTrainer, trial_plan
from lossweep.spaces.schedules.common_prefix import common_epochs
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.scoring.objectives import ObjectiveSpec, score

EPOCHS = 8
FIRST = "weighted_ce(power=0.5) @1e-3 x3 -> jaccard @3e-4 x5"
SECOND = "weighted_ce(power=0.5) @1e-3 x3 -> dice @1e-4 x5"
LONGER = "weighted_ce(power=0.5) @1e-3 x5 -> jaccard @3e-4 x3"
FALLING = "weighted_ce(power=0.5) @1e-3 x3 cosine -> jaccard @3e-4 x5"
BALANCED = ObjectiveSpec(use_case="balanced")


def read(line: str) -> LossSchedule:
    return LossSchedule.parse(f"{line} | {EPOCHS} epochs")


def trained(trainer: PrefixTrainer, line: str, seed: int = 7) -> list[Evaluation]:
    return list(trainer.trial(trial_plan(read(line), seed, EPOCHS)))


@pytest.mark.parametrize(
    ("other", "alike"), [(SECOND, 3), (LONGER, 3), (FALLING, 0), (FIRST, EPOCHS), ("dice @1e-3 x8", 0)]
)
def test_equal_prefixes_see_equal_figures_and_no_more(other: str, alike: int) -> None:
    one, two = (trained(PrefixTrainer(), line) for line in (FIRST, other))
    same = [a.metrics == b.metrics for a, b in zip(one, two, strict=True)]
    assert same == [True] * alike + [False] * (EPOCHS - alike)
    assert common_epochs(read(FIRST), read(other)) == alike


def test_another_seed_sees_other_figures_from_the_first_epoch_on() -> None:
    one, two = (trained(PrefixTrainer(), FIRST, seed) for seed in (1, 2))
    assert all(a.metrics["ap"] != b.metrics["ap"] for a, b in zip(one, two, strict=True))


def test_a_common_seed_stands_for_that_of_the_plan() -> None:
    trainer = PrefixTrainer(common_seed=1)
    assert trained(trainer, FIRST, 5) == trained(trainer, FIRST, 6) == trained(PrefixTrainer(), FIRST, 1)


def test_trials_apart_have_seeds_of_their_own() -> None:
    plans = [dataclasses.replace(trial_plan(read(FIRST), 7, EPOCHS), number=number) for number in (0, 1)]
    one, two = (list(PrefixTrainer(apart=True).trial(plan)) for plan in plans)
    assert one[0].metrics != two[0].metrics
    assert one == list(PrefixTrainer(apart=True).trial(plans[0]))


def test_what_is_kept_takes_no_time_and_is_counted() -> None:
    trainer = PrefixTrainer(keeps=True)
    first, second = trained(trainer, FIRST), trained(trainer, SECOND)
    assert [e.seconds > 0 for e in first] == [True] * EPOCHS
    assert [e.seconds > 0 for e in second] == [False] * 3 + [True] * 5
    assert (trainer.trained, trainer.reused) == (2 * EPOCHS - 3, 3)


def test_a_prefix_that_is_still_trained_is_not_there_yet() -> None:
    trainer = PrefixTrainer(keeps=True)
    one, two = (trainer.trial(trial_plan(read(line), 7, EPOCHS)) for line in (FIRST, SECOND))
    next(one), next(two)  # both are in their first epoch: it has not been reported by either
    assert (trainer.trained, trainer.reused) == (2, 0)
    next(one), next(one)
    next(two)
    assert (trainer.trained, trainer.reused) == (4, 1)


def test_the_true_score_is_the_mean_over_seeds() -> None:
    trainer = PrefixTrainer(noise=Noise(seed=0.01, prefix=0.02, memory=0.5, evaluation=0.0))
    true = trainer.true_score(read("focal @3e-3 x8"), BALANCED, EPOCHS)
    found = [score(BALANCED, trained(trainer, "focal @3e-3 x8", seed)) for seed in range(300)]
    values = [each.values[0] for each in found if each is not None]
    error = statistics.stdev(values) / len(values) ** 0.5
    assert abs(statistics.mean(values) - true) < 4 * error
    assert statistics.stdev(values) == pytest.approx(0.85 * (0.01**2 + 0.02**2) ** 0.5, rel=0.15)


def test_what_may_diverge_is_worth_less() -> None:
    """Ten times the best rate and more: some of the trainings end as guards end them."""
    trainer = PrefixTrainer()
    wild = "jaccard @0.03 x8"
    ends = [trained(trainer, wild, seed)[-1] for seed in range(100)]
    survived = sum(end.verdict is None for end in ends) / len(ends)
    assert 0.0 < survived < 0.6
    assert trainer.true_score(read(wild), BALANCED, EPOCHS) < survived + 0.2


def test_early_rank_misleads_where_it_is_to() -> None:
    """The higher rate is ahead after one epoch and behind at the end."""
    trainer = PrefixTrainer(curves=Curves(haste=0.35), noise=Noise(0.0, 0.0, 0.0, 0.0))
    hasty, slow = (trained(trainer, f"weighted_ce(power=0.5) @{rate} x8") for rate in (0.01, 0.002))
    assert hasty[0].metrics["ap"] > slow[0].metrics["ap"]
    assert hasty[-1].metrics["ap"] < slow[-1].metrics["ap"]
