"""What people reported of other tools, tried here: docs/reports.md has the table, a row for each test.

Run alone: ``python -m pytest tests/reports``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from lossweep.spaces.class_prior import ClassPrior

TESTS = Path(__file__).parents[1]
# Helper modules lie beside the tests that they were made for; importlib mode puts no folder on the path.
sys.path[:0] = [str(TESTS / "search"), str(TESTS / "search" / "running")]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def two() -> ClassPrior:
    return ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))


@pytest.fixture(scope="session")
def three() -> ClassPrior:
    return ClassPrior(names=("background", "car", "ship"), frequencies=(0.8, 0.1, 0.1))
