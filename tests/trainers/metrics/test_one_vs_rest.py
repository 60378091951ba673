from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lossweep.trainers.metrics.one_vs_rest import one_vs_rest


def reference(logits: torch.Tensor) -> torch.Tensor:
    """z_c - logsumexp of the others, class by class, in float64."""
    logits = logits.double()
    columns = []
    for c in range(logits.shape[1]):
        others = torch.cat([logits[:, :c], logits[:, c + 1 :]], dim=1)
        columns.append(logits[:, c] - others.logsumexp(dim=1))
    return torch.stack(columns, dim=1)


@settings(max_examples=60)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.just(1), st.integers(2, 7), st.just(1), st.integers(1, 4)),
        elements=st.floats(-200, 200, width=32) | st.sampled_from([0.0, 1e4, -1e4, 65504.0, -65504.0]),
    )
)
def test_equals_the_definition_at_any_magnitude(logits: np.ndarray) -> None:
    given_logits = torch.from_numpy(logits)
    got, leader = one_vs_rest(given_logits)
    assert bool(torch.isfinite(got).all())
    torch.testing.assert_close(got.double(), reference(given_logits), rtol=1e-5, atol=1e-5)
    assert torch.equal(given_logits.gather(1, leader.unsqueeze(1)), given_logits.amax(1, keepdim=True))


def test_its_sigmoid_is_the_softmax() -> None:
    logits = 5 * torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(one_vs_rest(logits)[0].sigmoid(), logits.softmax(1), rtol=1e-5, atol=1e-7)


def test_two_classes_give_the_difference() -> None:
    logits = torch.tensor([[3.0, -2.0]]).reshape(1, 2, 1, 1)
    assert one_vs_rest(logits)[0].flatten().tolist() == [5.0, -5.0]


def test_a_certainty_that_float32_probabilities_cannot_hold() -> None:
    logits = torch.tensor([[60.0, 0.0, 0.0]]).reshape(1, 3, 1, 1)
    assert one_vs_rest(logits)[0][0, 0].item() == np.float32(60 - np.log(2))
