"""Milliseconds to label and match one 256 x 256 tile with 50 objects on one core: this code, scipy and loops.

Run ``OMP_NUM_THREADS=1 python benchmarks/objects.py``. The arms alternate; the figures are the least and the
median of all rounds, as everything that disturbs a timing only adds to it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lossweep.trainers.metrics.objects import TrueObjects
from lossweep.trainers.plan import MeasureSpec

SPEC = MeasureSpec()
Mask = NDArray[np.bool_]
Counts = tuple[int, int, int]


def tile(objects: int, seed: int, size: int = 256) -> tuple[Mask, Mask]:
    """Return separate boxes of 6 to 12 pixels, and a prediction that shifts them and adds specks."""
    rng = np.random.default_rng(seed)
    truth, prediction = np.zeros((size, size), bool), np.zeros((size, size), bool)
    cells = rng.permutation((size // 16) ** 2)[:objects]
    for cell in cells:
        top, left = 16 * (cell // (size // 16)) + 2, 16 * (cell % (size // 16)) + 2
        height, width = rng.integers(6, 13, 2)
        down, right = rng.integers(-2, 3, 2)
        truth[top : top + height, left : left + width] = True
        prediction[top + down : top + down + height, left + right : left + right + width] = True
    return truth, prediction | (rng.random((size, size)) < 0.0003)


def ours(truth: Mask, prediction: Mask) -> Counts:
    """Label with cc3d, match by joint counts."""
    counts = TrueObjects.of(truth, None, SPEC).compare(prediction, SPEC).counts
    return counts.tp, counts.fp, counts.fn


def scipy_tables(truth: Mask, prediction: Mask) -> Counts:
    """Label with scipy, match by a two-dimensional histogram."""
    structure = np.ones((3, 3))
    (t, true), (p, called) = ndimage.label(truth, structure), ndimage.label(prediction, structure)
    joint = np.bincount((t * (called + 1) + p).ravel(), minlength=(true + 1) * (called + 1)).reshape(
        true + 1, -1
    )
    union = joint.sum(1, keepdims=True) + joint.sum(0, keepdims=True) - joint
    tp = int((2 * joint > union)[1:, 1:].sum())
    return tp, called - tp, true - tp


def loops(truth: Mask, prediction: Mask) -> Counts:
    """Label with scipy, compare object by object with those it touches."""
    structure = np.ones((3, 3))
    (t, true), (p, called) = ndimage.label(truth, structure), ndimage.label(prediction, structure)
    tp = 0
    for i in range(1, true + 1):
        one = t == i
        for j in np.unique(p[one]):
            other = p == j
            tp += bool(j) and 2 * int((one & other).sum()) > int((one | other).sum())
    return tp, called - tp, true - tp


def main() -> None:
    """Time the arms in turn and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    tiles = [tile(arguments.objects, seed) for seed in range(16)]
    arms: dict[str, Callable[[Mask, Mask], Counts]] = {
        "lossweep (cc3d)": ours,
        "scipy + joint table": scipy_tables,
        "scipy + loops": loops,
    }
    for masks in tiles:
        answers = {name: arm(*masks) for name, arm in arms.items()}
        if len(set(answers.values())) > 1:
            raise SystemExit(f"the arms disagree: {answers}")
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(arguments.rounds):
        for name, arm in arms.items():
            start = perf_counter()
            for masks in tiles:
                arm(*masks)
            times[name].append(1e3 * (perf_counter() - start) / len(tiles))
    print(f"{arguments.objects} objects on 256 x 256, ms a tile: least / median of {arguments.rounds} rounds")
    for name, figures in times.items():
        print(f"{name:22} {min(figures):7.3f} / {median(figures):7.3f}")


if __name__ == "__main__":
    main()
