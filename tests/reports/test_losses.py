"""Reports of losses that are wrong in well-known libraries: each loss that can be searched, by its name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.losses.terms import (
    CrossEntropy,
    Dice,
    Focal,
    FocalTversky,
    Jaccard,
    Loss,
    Lovasz,
    MatthewsCorrelation,
    SoftJaccard,
    TopKCrossEntropy,
    Tversky,
    WeightedCrossEntropy,
)
from lossweep.trainers.fake_gpu import pass_on_gpu
from lossweep.trainers.losses import build_loss

LOSSES: list[Loss] = [
    CrossEntropy(),
    WeightedCrossEntropy(weights=(1.0, 5.0)),
    Focal(gamma=2.0),
    Jaccard(),
    Dice(),
    Tversky(),
    FocalTversky(),
    Lovasz(),
    MatthewsCorrelation(),
    TopKCrossEntropy(share=0.7),
    SoftJaccard(label_smoothing=1e-4),
]
REGIONS: list[Loss] = [Jaccard(), Dice(), Tversky()]
each = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.term)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 1, 8, 8, requires_grad=True), torch.randint(0, 2, (2, 8, 8))


@pytest.mark.parametrize("loss", REGIONS, ids=lambda loss: loss.term)
def test_an_empty_mask_that_is_predicted_empty_costs_nothing(loss: Loss, two: ClassPrior) -> None:
    empty = torch.zeros(1, 8, 8, dtype=torch.int64)
    right, wrong = (build_loss(loss, two)(torch.full((1, 1, 8, 8), z), empty) for z in (-40.0, 40.0))
    assert right.item() == pytest.approx(0.0, abs=1e-6)
    assert wrong.item() > 0.9


@each
def test_ignored_pixels_change_neither_value_nor_gradient(
    loss: Loss, two: ClassPrior, batch: tuple[Tensor, Tensor]
) -> None:
    logits, target = batch
    target[:, :3] = 255
    other = logits.detach().clone()
    other[:, :, :3] = 30.0
    built = build_loss(loss, two)
    value = built(logits, target)
    value.backward()
    torch.testing.assert_close(value, built(other, target))
    assert logits.grad is not None
    assert (logits.grad[:, :, :3] == 0).all()
    assert (logits.grad[:, :, 3:] != 0).any()


@each
def test_an_ignored_value_beyond_the_classes_is_no_index(loss: Loss, two: ClassPrior) -> None:
    target = torch.tensor([[[0, 1, 255, 255]]])
    assert build_loss(loss, two)(torch.zeros(1, 1, 1, 4), target).isfinite()


@each
def test_a_batch_without_a_label_is_zero_and_not_nan(
    loss: Loss, two: ClassPrior, batch: tuple[Tensor, Tensor]
) -> None:
    logits, _ = batch
    value = build_loss(loss, two)(logits, torch.full((2, 8, 8), 255))
    value.backward()
    assert value.item() == 0.0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_focal_loss_of_one_channel_is_the_sigmoid_s(two: ClassPrior, batch: tuple[Tensor, Tensor]) -> None:
    logits, target = batch
    truth = target.to(torch.float32)
    entropy = F.binary_cross_entropy_with_logits(logits[:, 0], truth, reduction="none")
    miss = (logits[:, 0].sigmoid() - truth).abs()
    value = build_loss(Focal(gamma=2.0), two)(logits, target)
    torch.testing.assert_close(value, (miss**2 * entropy).mean())
    assert value.item() > 0


@pytest.mark.parametrize("weights", [(1.0, 2.0), (1.0, 2.0, 3.0, 4.0)])
def test_weights_that_do_not_fit_the_classes_name_both(weights: tuple[float, ...], three: ClassPrior) -> None:
    with pytest.raises(UserError, match="weights") as said:
        build_loss(WeightedCrossEntropy(weights=weights), three)
    assert str(len(weights)) in str(said.value)
    assert "3" in str(said.value)


@each
def test_class_weights_go_to_the_device_of_the_logits(loss: Loss, two: ClassPrior) -> None:
    target = torch.zeros(2, 8, 8, dtype=torch.uint8)
    assert pass_on_gpu(build_loss(loss, two), torch.zeros(2, 1, 8, 8), target).mixes is False


@each
def test_logits_are_not_squashed_twice(loss: Loss, two: ClassPrior) -> None:
    """A certain and right prediction costs nearly nothing, which no second sigmoid would let it reach."""
    target = torch.tensor([[[0, 1], [1, 0]]]).repeat(1, 16, 16)
    certain = torch.where(target == 1, 30.0, -30.0)[:, None]
    assert build_loss(loss, two)(certain, target).item() == pytest.approx(0.0, abs=1e-2)
    assert build_loss(loss, two)(certain.sigmoid(), target).item() > 0.05
