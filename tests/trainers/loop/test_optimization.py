"""One optimizer step: clipping, precision, moments, scaling."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.utils import deterministic

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import CrossEntropy
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.optimization import Optimization
from lossweep.trainers.losses import build_loss
from lossweep.trainers.plan import TrainingSpec, pass_sizes

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.5, 0.5))
CRITERION = build_loss(CrossEntropy(), PRIOR)


def optimization(training: TrainingSpec, micro_batch: int = 8) -> Optimization:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    numerics = Numerics.of(training, "cpu")
    return Optimization(numerics.place(model), training, numerics, micro_batch)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(4, 3, 8, 8, generator=generator)
    return images, (images[:, 0] > 0).to(torch.uint8)


def parameters(trained: Optimization) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trained.model.parameters()])


def test_the_reported_norm_is_the_one_before_clipping() -> None:
    # Plain gradient descent, so that the change of the weights is the clipped gradient.
    spec = TrainingSpec(optimizer="sgd", momentum=0.0, weight_decay=0.0, precision="float32", clip_norm=0.01)
    clipped = optimization(spec)
    free = optimization(spec.model_copy(update={"clip_norm": None}))
    before = parameters(clipped)
    figures, unclipped = (each.step(*batch(), CRITERION, 1.0) for each in (clipped, free))
    assert figures.gradient_norm.item() == pytest.approx(unclipped.gradient_norm.item(), rel=1e-5)
    assert figures.gradient_norm.item() > 0.01
    assert (parameters(clipped) - before).norm().item() == pytest.approx(0.01, rel=1e-3)
    assert (parameters(free) - before).norm().item() == pytest.approx(
        unclipped.gradient_norm.item(), rel=1e-4
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_every_precision_and_optimizer_learns(precision: str, optimizer: str) -> None:
    trained = optimization(TrainingSpec(precision=precision, optimizer=optimizer))  # type: ignore[arg-type]  # parametrized literals
    rate = 1e-2 if optimizer == "adamw" else 0.3
    losses = [trained.step(*batch(), CRITERION, rate).parts["cross_entropy"].item() for _ in range(60)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(parameter.dtype is torch.float32 for parameter in trained.model.parameters())


@pytest.fixture
def _unwritten_is_nan(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Memory that nobody has written holds NaN; else it is zeros as often as not, and tells nothing."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    monkeypatch.setattr(deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@pytest.mark.usefixtures("_unwritten_is_nan")
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_scaler_leaves_out_a_step_that_overflows_and_comes_back(optimizer: Literal["adamw", "sgd"]) -> None:
    trained = optimization(TrainingSpec(precision="float16", optimizer=optimizer))
    before = parameters(trained)
    images, masks = batch()
    first = trained.step(images * 1e30, masks, CRITERION, 1e-2)
    assert not torch.isfinite(first.gradient_norm)
    assert torch.equal(parameters(trained), before)
    second = trained.step(images, masks, CRITERION, 1e-2)
    assert torch.isfinite(second.gradient_norm)
    assert not torch.equal(parameters(trained), before)
    # Fused SGD's moments of a skipped first step once were whatever lay in memory: weights moved by 2.4e34.
    assert (parameters(trained) - before).abs().max() < 1.0


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_moments_from_zeros_take_the_steps_that_torch_takes(momentum: float) -> None:
    spec = TrainingSpec(optimizer="sgd", precision="float32", momentum=momentum, clip_norm=None)
    ours = optimization(spec)
    model = copy.deepcopy(ours.model)
    theirs = torch.optim.SGD(
        model.parameters(), 0.1, momentum=momentum, weight_decay=spec.weight_decay, fused=True
    )
    images, masks = batch()
    for _ in range(3):
        ours.step(images, masks, CRITERION, 0.1)
        theirs.zero_grad()
        CRITERION(model(images.contiguous(memory_format=torch.channels_last)), masks).backward()
        theirs.step()
    assert torch.equal(parameters(ours), torch.cat([each.detach().flatten() for each in model.parameters()]))


def test_forgotten_moments_are_as_new() -> None:
    spec = TrainingSpec(precision="float32")
    used = optimization(spec)
    used.step(*batch(), CRITERION, 1e-2)
    fresh = Optimization(copy.deepcopy(used.model), spec, Numerics.of(spec, "cpu"), 8)
    used.forget_moments()
    for each in (used, fresh):
        each.step(*batch(), CRITERION, 1e-2)
    assert torch.equal(parameters(used), parameters(fresh))


def test_a_state_goes_on_bit_for_bit() -> None:
    spec = TrainingSpec(precision="float16")
    whole, part = optimization(spec), optimization(spec)
    for _ in range(3):
        part.step(*batch(), CRITERION, 1e-2)
    resumed = optimization(spec)
    resumed.load_state_dict(copy.deepcopy(part.state_dict()))
    for _ in range(2):
        resumed.step(*batch(), CRITERION, 1e-2)
    for _ in range(5):
        whole.step(*batch(), CRITERION, 1e-2)
    assert torch.equal(parameters(resumed), parameters(whole))


def test_micro_batches_are_as_equal_as_they_can_be() -> None:
    seen: list[int] = []
    trained = optimization(TrainingSpec(precision="float32"), micro_batch=3)
    trained.model.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    trained.step(*batch(), CRITERION, 1e-2)
    assert seen == [2, 2], "3 and 1 would give batch normalization a batch of one"


def test_unequal_micro_batches_count_by_their_images() -> None:
    """5 by 2 are 2, 2 and 1: the gradient is the batch's, and not the mean of three."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(5, 3, 8, 8, generator=generator)
    images[4] *= 10.0  # the one alone is unlike the others
    masks = (images[:, 0] > 0).to(torch.uint8)
    spec = TrainingSpec(optimizer="sgd", momentum=0.0, weight_decay=0.0, precision="float32", clip_norm=None)
    whole, cut = optimization(spec), optimization(spec, micro_batch=2)
    seen: list[int] = []
    cut.model.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    expected, found = (each.step(images, masks, CRITERION, 0.1) for each in (whole, cut))
    assert seen == [2, 2, 1]
    torch.testing.assert_close(parameters(cut), parameters(whole), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.gradient_norm, expected.gradient_norm)
    torch.testing.assert_close(found.parts["cross_entropy"], expected.parts["cross_entropy"])


@pytest.mark.parametrize(("images", "most"), [(1, 1), (4, 3), (5, 2), (7, 3), (8, 8), (9, 100), (12, 5)])
def test_passes_are_few_and_equal(images: int, most: int) -> None:
    sizes = pass_sizes(images, most)
    assert sum(sizes) == images
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert (len(sizes) - 1) * most < images, "no fewer passes would do"


def test_auto_precision_follows_from_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert str(Numerics.of(TrainingSpec(), "cpu")) == "cpu float32"
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert str(Numerics.of(TrainingSpec(), "cpu")) == "cpu bfloat16"
    assert str(Numerics.of(TrainingSpec(precision="float32"), "cpu")) == "cpu float32"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert str(Numerics.of(TrainingSpec(), "cuda:0")) == "cuda float16"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert str(Numerics.of(TrainingSpec(), "cuda:0")) == "cuda bfloat16"


@pytest.mark.parametrize("channels_last", [True, False])
def test_images_lie_in_memory_as_asked(channels_last: bool) -> None:
    """Crops are cut with the channels last, which a model that wants them first once got all the same."""
    numerics = Numerics.of(TrainingSpec(channels_last=channels_last), "cpu")
    cut = torch.zeros(2, 8, 8, 3).permute(0, 3, 1, 2)
    laid_out = numerics.lay_out(cut)
    assert laid_out.is_contiguous(memory_format=torch.channels_last) is channels_last
    assert laid_out.is_contiguous() is not channels_last


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_model_gets_images_in_the_layout_that_was_asked_for(channels_last: bool) -> None:
    trained = optimization(TrainingSpec(precision="float32", channels_last=channels_last))
    seen: list[bool] = []
    trained.model.register_forward_pre_hook(
        lambda module, given: seen.append(given[0].is_contiguous(memory_format=torch.channels_last))
    )
    images, masks = batch()
    as_cut = images.contiguous(memory_format=torch.channels_last)
    trained.step(as_cut, masks, CRITERION, 1e-2)
    assert seen == [channels_last]
