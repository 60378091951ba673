from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lossweep.search.verdicts.images import (
    Counts,
    Figures,
    image_interval,
    mean_f1,
    mean_iou,
    mean_precision,
    mean_recall,
)

FIGURES = (mean_f1, mean_iou, mean_precision, mean_recall)


def arm(seed: int, images: int = 30, classes: int = 1, hits: int = 60, seeds: int = 3) -> list[Counts]:
    dice = np.random.default_rng(seed)
    counts = dice.integers(1, 60, size=(seeds, images, classes, 3))
    counts[..., 0] = dice.integers(1, hits, size=(seeds, images, classes))
    return list(counts)


def one_by_one(first: list[Counts], second: list[Counts], figure: Callable[[Counts], Figures]) -> list[float]:
    """The same bootstrap, written out draw by draw and image by image."""
    generator = np.random.default_rng(0)
    differences = []
    for _ in range(200):
        chosen_images = generator.integers(len(first[0]), size=len(first[0]))
        chosen_seeds = generator.integers(len(first), size=len(first))
        each = [
            float(figure(first[s][chosen_images].sum(axis=0)))
            - float(figure(second[s][chosen_images].sum(axis=0)))
            for s in chosen_seeds
        ]
        differences.append(sum(each) / len(each))
    return [float(value) for value in np.quantile(differences, [0.025, 0.975])]


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("figure", FIGURES)
def test_it_is_the_bootstrap_written_out(figure: Callable[[Counts], Figures], classes: int) -> None:
    first, second = arm(1, classes=classes), arm(2, classes=classes, hits=40)
    found = image_interval(first, second, figure, draws=200)
    assert found == pytest.approx(one_by_one(first, second, figure), abs=1e-12)


def test_it_is_the_same_each_time_and_holds_the_difference() -> None:
    first, second = arm(1), arm(2, hits=40)
    low, high = image_interval(first, second, mean_f1)
    assert (low, high) == image_interval(first, second, mean_f1)
    pairs = zip(first, second, strict=True)
    seen = np.mean([float(mean_f1(a.sum(axis=0)) - mean_f1(b.sum(axis=0))) for a, b in pairs])
    assert low < seen < high


@pytest.mark.parametrize("figure", FIGURES)
def test_an_arm_against_itself_has_no_difference_at_all(figure: Callable[[Counts], Figures]) -> None:
    """Images and seeds are drawn for both arms together: nothing is left but what the arms differ in."""
    assert image_interval(arm(1), arm(1), figure) == (0.0, 0.0)


def test_it_has_a_width_where_images_differ_and_less_with_more_of_them() -> None:
    few = image_interval(arm(1, images=10), arm(2, images=10), mean_f1)
    many = image_interval(arm(1, images=200), arm(2, images=200), mean_f1)
    assert few[1] - few[0] > many[1] - many[0] > 0.0


def test_images_alone_make_it_wider_than_zero_where_all_seeds_agree() -> None:
    one, other = arm(1, seeds=1) * 3, arm(2, seeds=1) * 3
    low, high = image_interval(one, other, mean_f1)
    assert high > low


def test_less_is_better_turns_it_round() -> None:
    low, high = image_interval(arm(1), arm(2), mean_f1)
    turned = image_interval(arm(1), arm(2), mean_f1, sign=-1.0)
    assert turned == pytest.approx((-high, -low))


@pytest.mark.parametrize(
    ("counts", "figures"),
    [
        ([[8, 2, 4]], (16 / 22, 8 / 14, 8 / 10, 8 / 12)),
        ([[0, 0, 5]], (0.0, 0.0, 0.0, 0.0)),  # never predicted
        ([[0, 5, 0]], (0.0, 0.0, 0.0, 0.0)),  # not there, and predicted
        ([[0, 0, 0]], (0.0, 0.0, 0.0, 0.0)),  # neither
        ([[8, 2, 4], [0, 0, 0]], (16 / 22, 8 / 14, 8 / 10, 8 / 12)),  # what does not occur does not count
        ([[8, 2, 4], [1, 0, 0]], ((16 / 22 + 1) / 2, (8 / 14 + 1) / 2, 0.9, (8 / 12 + 1) / 2)),
    ],
)
def test_figures_of_summed_counts(counts: list[list[int]], figures: tuple[float, ...]) -> None:
    found = [float(figure(np.array(counts))) for figure in FIGURES]
    assert found == pytest.approx(figures)
    assert not np.isnan(found).any()


def test_figures_of_many_sums_at_once() -> None:
    counts = np.stack(arm(1, classes=3))
    for figure in FIGURES:
        at_once = figure(counts)
        assert at_once.shape == counts.shape[:2]
        assert float(at_once[2, 5]) == pytest.approx(float(figure(counts[2, 5])))
