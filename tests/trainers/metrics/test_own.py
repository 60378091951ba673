"""A user's own metric: imported, held against its name, computed from the images, told where it fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.metrics import Meter
from lossweep.trainers.metrics.own import OwnMetric, check_own_metric, rehearse_own_metric
from lossweep.trainers.plan import MeasureSpec

BINARY = ClassPrior(names=("ground", "car"), frequencies=(0.9, 0.1))
THREE = ClassPrior(names=("ground", "car", "ship"), frequencies=(0.8, 0.1, 0.1))

SOURCE = """
import numpy as np

def stacked(images):
    return float(np.stack([truth for truth, _ in images]).mean())

def square(images):
    for truth, _ in images:
        assert truth.shape[0] == truth.shape[1] <= 256
    return 1.0

def f1(images):
    hits = wrong = 0
    for truth, prediction in images:
        known = truth != 255
        hits += int(((truth == 1) & (prediction == 1)).sum())
        wrong += int((known & ((truth == 1) != (prediction == 1))).sum())
    return 2 * hits / max(2 * hits + wrong, 1)

def images(images):
    pairs = list(images)
    assert all(t.dtype == p.dtype == np.uint8 and t.shape == p.shape for t, p in pairs)
    return len(pairs)

class Error:
    direction = "minimize"
    def __call__(self, images):
        return np.float32(0.25)

class Needy:
    def __init__(self, needed):
        pass

def up(images):
    return 0.5
up.direction = "upwards"

def nothing(images):
    return None

def broken(images):
    raise IndexError("list index out of range\\nand more")

def infinite(images):
    return float("nan")

number = 3
"""


@pytest.fixture(autouse=True)
def module(importable: Callable[[str, str], None], request: pytest.FixtureRequest) -> str:
    """A fresh module for each test, as Python keeps what it imported."""
    name = f"own_metrics_{abs(hash(request.node.name))}"
    importable(name, SOURCE)
    return name


def evaluated(prior: ClassPrior, *own: str, threshold: float | None = None) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    meter = Meter(prior, MeasureSpec(own=own), "cpu")
    for size in (24, 32):  # images of several sizes
        masks = torch.randint(len(prior.names), (3, size, size), generator=generator)
        logits = torch.randn(3, prior.channels, size, size, generator=generator)
        logits[:, -1] += 1.5 * (masks == len(prior.names) - 1)
        masks[:, 0] = 255
        meter.update(logits, masks)
    return dict(meter.compute(threshold=threshold).metrics)


def test_two_classes_are_predicted_at_the_tuned_threshold(module: str) -> None:
    found = evaluated(BINARY, f"{module}:f1", f"{module}:images")
    assert found[f"{module}:f1"] == pytest.approx(found["tuned_f1"], abs=1e-12)
    assert found["tuned_f1"] != found["f1"]
    assert found[f"{module}:images"] == 6.0
    given = evaluated(BINARY, f"{module}:f1", threshold=1.25)
    assert given[f"{module}:f1"] == pytest.approx(given["tuned_f1"], abs=1e-12) != found["tuned_f1"]


def test_of_several_classes_the_likeliest_is_predicted(module: str) -> None:
    found = evaluated(THREE, f"{module}:f1")
    assert found[f"{module}:f1"] == pytest.approx(found["f1/car"], abs=1e-12)
    assert f"{module}:f1/car" not in found


def test_what_it_measures_beside_changes_nothing_else(module: str) -> None:
    with_own = evaluated(BINARY, f"{module}:f1")
    del with_own[f"{module}:f1"]
    assert with_own == evaluated(BINARY)


def test_a_class_is_made_an_object_of(module: str) -> None:
    value = OwnMetric.load(f"{module}:Error:minimize")(iter(()))
    assert (value, type(value)) == (0.25, float)


def test_without_images_kept_it_is_not_measured(module: str) -> None:
    meter = Meter(BINARY, MeasureSpec(own=(f"{module}:f1",)), "cpu")
    assert f"{module}:f1" not in meter.compute(objects=False).metrics


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{}:f2", "has no 'f2'"),
        (
            "{}:Error",
            "declares the direction minimize, its name maximize; found {}:Error; name it",
        ),
        ("{}:up", "declares the direction 'upwards'"),
        ("{}:Needy", "making it raised TypeError"),
        ("{}:number", "can't be called"),
        ("no_such_module_at_all:f1", "there is no module 'no_such_module_at_all'"),
    ],
)
def test_what_is_wrong_shows_before_it_is_computed(module: str, name: str, message: str) -> None:
    (problem,) = check_own_metric(name.format(module))
    assert message.replace("{}", module) in str(problem)
    assert rehearse_own_metric(name.format(module), BINARY) == (problem,)


@pytest.mark.parametrize("prior", [BINARY, THREE])
def test_a_sound_metric_is_computed_on_made_up_images(module: str, prior: ClassPrior) -> None:
    for name in (f"{module}:f1", f"{module}:images", f"{module}:Error:minimize"):
        assert check_own_metric(name) == rehearse_own_metric(name, prior, 16) == ()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("broken", "computing it raised IndexError: list index out of range"),
        ("infinite", "its value is nan"),
        ("nothing", "computing it raised TypeError"),
    ],
)
def test_what_cannot_be_computed_is_told_by_name(module: str, function: str, message: str) -> None:
    name = f"{module}:{function}"
    assert check_own_metric(name) == ()
    (problem,) = rehearse_own_metric(name, BINARY)
    assert message in problem.message
    assert problem.found == name
    with pytest.raises(UserError, match=message) as raised:
        evaluated(BINARY, name)
    assert name in str(raised.value)


def test_the_made_up_images_hold_every_class(module: str) -> None:
    seen: list[np.ndarray] = []

    def look(images: Iterator[tuple[np.ndarray, np.ndarray]]) -> float:
        seen.extend(part for pair in images for part in pair)
        return 0.0

    import importlib

    importlib.import_module(module).look = look  # type: ignore[attr-defined]
    assert rehearse_own_metric(f"{module}:look", THREE, 32) == ()
    assert len(seen) == 4
    for truth, prediction in zip(seen[::2], seen[1::2], strict=True):
        assert set(np.unique(truth)) == {0, 1, 2, 255}
        assert set(np.unique(prediction)) == {0, 1, 2}
    assert math.prod(seen[0].shape) == 32 * 32


def test_the_made_up_images_are_of_the_sizes_that_will_be_evaluated(module: str) -> None:
    """What only computes on images of one size, or on square ones, fails before any training."""
    for function, sizes, message in (
        ("stacked", [(64, 64), (96, 64)], "all input array"),
        ("square", [(64, 96), (64, 96)], "AssertionError"),
        ("stacked", [(64, 64), (64, 64)], None),
        ("square", [(2000, 2000), (64, 64)], None),
    ):
        problems = rehearse_own_metric(f"{module}:{function}", BINARY, 16, sizes)
        assert [message in problem.message for problem in problems] == ([True] if message else [])
