"""The first prediction is each class at its training frequency, whatever the architecture and the seed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.models import build_model, raw_model
from lossweep.trainers.models.head import returns_probabilities
from lossweep.trainers.plan import ModelSpec

BINARY = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
THREE = ClassPrior(names=("background", "car", "truck"), frequencies=(0.9, 0.07, 0.03))
ARCHITECTURES = [architecture.__name__ for architecture in smp.MODEL_ARCHITECTURES_MAPPING.values()]


def shares(model: nn.Module, images: Tensor) -> Tensor:
    """Predicted probabilities of the classes, the background left out where there are two."""
    with torch.no_grad():
        logits: Tensor = model(images)
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def expected(prior: ClassPrior) -> Tensor:
    return torch.tensor(prior.frequencies[1:] if prior.is_binary else prior.frequencies)[:, None, None]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_starts_at_the_prior(architecture: str) -> None:
    transformer = {"encoder": "tu-vit_tiny_patch16_224", "options": {"dynamic_img_size": True}}
    spec = ModelSpec(architecture=architecture).model_copy(
        update=transformer if architecture == "DPT" else {"encoder": "mobilenet_v2"}
    )
    images = 10.0 * torch.randn(2, 3, 128, 128)
    for seed, prior in enumerate((BINARY, THREE)):
        model = build_model(spec, prior, 3, seed)
        first = shares(model, images)  # as it is trained, its normalization too
        torch.testing.assert_close(first, expected(prior).expand_as(first), rtol=1e-4, atol=0)


def test_a_class_absent_from_training_stays_learnable() -> None:
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(1.0, 0.0))
    model = build_model(ModelSpec(architecture="Linknet"), prior, 3, seed=0)
    logits = model.eval()(torch.randn(1, 3, 64, 64))
    assert -20 < logits.min() <= logits.max() < -10


def test_all_of_a_model_learns_from_the_second_step_on() -> None:
    """Weights of 0 in the last layer keep the gradient from the others in the first step only."""
    model = build_model(ModelSpec(architecture="Linknet"), BINARY, 3, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    images = torch.randn(2, 3, 64, 64)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.softplus(model(images) * images[:, :1].sign()).mean().backward()
        optimizer.step()
    first = next(model.parameters())
    assert first.grad is not None
    assert first.grad.norm() > 0


OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, in_channels, classes, head, first=False, wide=1):
        super().__init__()
        if first:  # the order of the attributes is not the order of the layers
            self.head = head
        self.body = nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.ReLU())
        self.gate = nn.Conv2d(4, wide * classes, 1)
        if not first:
            self.head = head

    def forward(self, images):
        features = self.body(images)
        return self.head(features * self.gate(features).mean(dim=1, keepdim=True).sigmoid())

class Tokens(nn.Module):
    def __init__(self, in_channels, classes):
        super().__init__()
        self.body, self.head = nn.Conv2d(in_channels, 8, 4, stride=4), nn.Linear(8, classes)

    def forward(self, images):
        found = self.head(self.body(images).relu().flatten(2).transpose(1, 2))
        rows, columns = images.shape[2] // 4, images.shape[3] // 4
        maps = found.transpose(1, 2).unflatten(2, (rows, columns))
        return nn.functional.interpolate(maps, scale_factor=4, mode="bilinear")

class Sums(nn.Module):  # no single last layer
    def __init__(self, in_channels, classes):
        super().__init__()
        self.one = nn.Conv2d(in_channels, classes, 1)
        self.other = nn.Conv2d(in_channels, classes, 3, padding=1)

    def forward(self, images):
        return self.one(images) + self.other(images)

def convolution(in_channels, classes):
    return Net(in_channels, classes, nn.Conv2d(4, classes, 1))

def head_first(in_channels, classes):
    return Net(in_channels, classes, nn.Conv2d(4, classes, 1), first=True)

def transposed(in_channels, classes):
    head = nn.Sequential(nn.MaxPool2d(2), nn.ConvTranspose2d(4, classes, 2, stride=2))
    return Net(in_channels, classes, head)

def shuffled(in_channels, classes):
    head = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 4 * classes, 1), nn.PixelShuffle(2))
    return Net(in_channels, classes, head)

def without_bias(in_channels, classes):
    return Net(in_channels, classes, nn.Conv2d(4, classes, 1, bias=False))

def loaded(in_channels, classes):
    model = Net(in_channels, classes, nn.Conv2d(4, classes, 1))
    stored = torch.Generator().manual_seed(9)
    model.head.weight.data = torch.randn(classes, 4, 1, 1, generator=stored)
    return model

def failing(in_channels, classes):
    class Failing(nn.Conv2d):
        def forward(self, images):
            raise ArithmeticError("mine")
    return Failing(in_channels, classes, 1)

def sigmoid(in_channels, classes):
    return nn.Sequential(convolution(in_channels, classes), nn.Sigmoid())

def softmax(in_channels, classes):
    return nn.Sequential(convolution(in_channels, classes), nn.Softmax(dim=1))

def small(in_channels, classes):  # logits that happen to lie between 0 and 1
    model = convolution(in_channels, classes)
    model.head.weight.data.zero_()
    model.head.bias.data.fill_(1.0 / classes)
    return model
"""


@pytest.mark.parametrize("prior", [BINARY, THREE], ids=["binary", "three"])
@pytest.mark.parametrize("name", ["convolution", "head_first", "transposed", "shuffled", "Tokens"])
def test_own_models_start_at_the_prior(
    name: str, prior: ClassPrior, importable: Callable[[str, str], None]
) -> None:
    importable("own_heads", OWN)
    spec = ModelSpec(architecture=f"own_heads:{name}")
    before = torch.get_rng_state()
    for seed in range(3):
        model = build_model(spec, prior, 3, seed, tile=32)
        first = shares(model, 10.0 * torch.randn(2, 3, 32, 64))
        torch.testing.assert_close(first, expected(prior).expand_as(first), rtol=1e-3, atol=0)
        raw = raw_model(spec, prior, 3, seed).state_dict()
        different = [key for key, value in model.state_dict().items() if not torch.equal(raw[key], value)]
        assert len(different) == 2, "weight and bias of one layer"
        assert model.training
    torch.set_rng_state(before)


@pytest.mark.parametrize("name", ["without_bias", "loaded", "Sums", "failing"])
def test_own_models_that_are_trained_or_have_no_such_layer_are_left_alone(
    name: str, importable: Callable[[str, str], None]
) -> None:
    importable("own_heads", OWN)
    spec = ModelSpec(architecture=f"own_heads:{name}")
    model, raw = build_model(spec, BINARY, 3, seed=1), raw_model(spec, BINARY, 3, seed=1).state_dict()
    assert all(torch.equal(raw[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "prior", "probabilities"),
    [
        ("sigmoid", BINARY, True),
        ("softmax", THREE, True),
        ("sigmoid", THREE, True),
        ("convolution", BINARY, False),
        ("convolution", THREE, False),
        ("small", BINARY, False),
        ("small", THREE, False),
        ("without_bias", BINARY, False),
        ("failing", BINARY, False),
    ],
)
def test_probabilities_are_told_from_logits(
    name: str, prior: ClassPrior, probabilities: bool, importable: Callable[[str, str], None]
) -> None:
    importable("own_heads", OWN)
    for seed in range(3):
        model = raw_model(ModelSpec(architecture=f"own_heads:{name}"), prior, 3, seed)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        assert returns_probabilities(model, 3, prior.channels, 32) is probabilities
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
