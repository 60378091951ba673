"""The truth is labelled once, within its memory, and every figure is as if it were each time."""

from __future__ import annotations

import gc
from collections.abc import Callable
from copy import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.loop import measurement
from lossweep.trainers.loop.measurement import Measurer
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.object_sizes import size_thirds
from lossweep.trainers.loop.passes import PassSize
from lossweep.trainers.metrics import Meter
from lossweep.trainers.metrics.objects import TrueObjects
from lossweep.trainers.metrics.truth import Truth
from lossweep.trainers.models import build_model
from lossweep.trainers.plan import MeasureSpec, TrialPlan

PRIOR = ClassPrior(names=("background", "car", "boat"), frequencies=(0.9, 0.05, 0.05))
MASKS = arrays(np.uint8, (3, 9, 11), elements=st.sampled_from([0, 0, 0, 1, 2, 255]))


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each mask whose objects are labelled."""
    calls: list[int] = []
    original = TrueObjects.of

    def counted(truth: NDArray[np.bool_], known: NDArray[np.bool_] | None, spec: MeasureSpec) -> TrueObjects:
        calls.append(int(truth.sum()))
        return original(truth, known, spec)

    monkeypatch.setattr(TrueObjects, "of", counted)
    return calls


@settings(max_examples=40)
@given(
    masks=MASKS,
    seed=st.integers(0, 99),
    memory=st.sampled_from([0, 300, 10**6]),
    minimum=st.sampled_from([1, 3]),
)
def test_figures_are_the_same_whatever_is_known(
    masks: NDArray[np.uint8], seed: int, memory: int, minimum: int
) -> None:
    spec = MeasureSpec(minimum_area=minimum)
    truth = Truth(2, spec, memory)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(2):
        logits = torch.randn(3, 3, 9, 11, generator=generator)
        found = []
        for known in (None, truth):
            meter = Meter(PRIOR, spec, "cpu", truth=known)
            meter.update(logits, torch.from_numpy(masks))
            found.append(meter.compute(per_image=True))
        assert found[0] == found[1]


def test_no_more_is_kept_than_the_memory_holds(labelled: list[int]) -> None:
    mask = np.ones((32, 32), np.uint8)
    mask[0, 0] = 255
    one = sum(each.bytes for each in Truth(2, MeasureSpec()).of(0, mask)) + mask.size
    assert one == 3 * mask.size, "two bytes a label, and where they are known; an absent class takes none"
    truth = Truth(2, MeasureSpec(), memory=2 * one)
    for _ in range(2):
        labelled.clear()
        for place in range(4):
            truth.of(place, mask)
    assert len(labelled) == 2 * 2, "two of four images are kept"


def test_every_trial_of_a_process_shares_what_is_known_of_a_split(
    scenes: SegmentationData, plan_of: Callable[..., TrialPlan], labelled: list[int]
) -> None:
    plan = plan_of("cross_entropy @1e-3 x1", 1)
    model = build_model(plan.model, scenes.prior, scenes.channels, 0)

    def measured(measure: MeasureSpec, images: int = 4) -> object:
        labelled.clear()
        measurer = Measurer(scenes.prior, measure, Numerics.of(plan.training), PassSize.of(images, 64))
        return measurer.measured(model, scenes.val)

    others = {"minimum_area": 30}, {"connectivity": 4}
    for measure in (plan.measure, *(plan.measure.model_copy(update=each) for each in others)):
        size_thirds(scenes.val, scenes.prior, measure)  # which looks at the training masks, once
    measurement._TRUTHS.pop(scenes.val, None)
    first = measured(plan.measure)
    assert len(labelled) == len(scenes.val)
    assert measured(plan.measure, images=1) == first
    assert not labelled
    measured(plan.measure.model_copy(update={"minimum_area": 30}))
    assert not labelled, "what is too small to count is left out when it is compared"
    measured(plan.measure.model_copy(update={"connectivity": 4}))
    assert len(labelled) == len(scenes.val), "other objects"


def test_a_split_that_is_gone_is_forgotten(scenes: SegmentationData) -> None:
    gc.collect()
    before = len(measurement._TRUTHS)
    split = copy(scenes.val)
    measurement._TRUTHS[split] = {}
    assert len(measurement._TRUTHS) == before + 1
    del split
    gc.collect()
    assert len(measurement._TRUTHS) == before
