from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.trainers.metrics.logit_scale import BINS, LARGEST, LOGITS, LOWEST_KEY, bin_of, keys

finite = st.floats(allow_nan=False, width=32)


def key(logit: float) -> int:
    return int(keys(torch.tensor(logit)))


@settings(max_examples=100)
@given(finite, finite)
def test_keys_order_like_logits(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert key(low) <= key(high)


@settings(max_examples=100)
@given(finite)
def test_a_key_names_the_nearest_half_precision_logit(logit: float) -> None:
    clipped = min(max(logit, -LARGEST), LARGEST)
    assert LOGITS[key(logit) - LOWEST_KEY] == np.float64(np.float16(clipped))


def test_every_bin_is_its_own_logits_bin() -> None:
    logits = torch.from_numpy(LOGITS)
    expected = torch.arange(LOWEST_KEY, LOWEST_KEY + BINS, dtype=torch.int16)
    expected[-LOWEST_KEY - 1] = 0  # -0 goes to 0, so that the bin before 0 stays empty
    assert torch.equal(keys(logits), expected)
    assert LOGITS[0] == -LARGEST
    assert LOGITS[-1] == LARGEST
    assert bool((np.diff(LOGITS) >= 0).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_floating_type(dtype: torch.dtype) -> None:
    assert keys(torch.tensor([-1.5, -0.0, 0.0, 2.0], dtype=dtype)).tolist() == [key(-1.5), 0, 0, key(2.0)]


def test_what_is_not_finite() -> None:
    assert key(math.nan) == key(-math.inf) == key(-1e30) == LOWEST_KEY
    assert key(math.inf) == key(1e30) == LOWEST_KEY + BINS - 1


def test_resolution_near_zero_and_where_region_losses_saturate() -> None:
    logits = [
        -120.0,
        -119.8,
        -30.0,
        -29.9,
        -4.6,
        -4.59,
        -1e-6,
        0.0,
        1e-6,
        1e-3,
        1.001e-3,
        25.0,
        25.05,
        90.0,
        90.2,
    ]
    assert len({key(logit) for logit in logits}) == len(logits)


@pytest.mark.parametrize("threshold", [-1e9, -70.3, -1e-9, 0.0, -0.0, 1e-9, 0.1, 4.0, 65504.0, 1e9])
def test_the_bin_of_a_threshold_is_the_lowest_at_or_above_it(threshold: float) -> None:
    lowest = bin_of(threshold)
    assert bool((LOGITS[lowest:] >= threshold).all())
    below = LOGITS[:lowest]
    assert bool((below[below != threshold] < threshold).all())
    assert threshold != 0.0 or lowest == -LOWEST_KEY
