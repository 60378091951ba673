"""Models by name or import path, and what is wrong with them in the user's words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.models import build_model
from lossweep.trainers.plan import ModelSpec

BINARY = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
SMALL = ModelSpec(encoder="tu-test_resnet", options={"encoder_depth": 3, "decoder_channels": (32, 16, 16)})


def test_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (build_model(SMALL, BINARY, 3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    vectors = [nn.utils.parameters_to_vector(model.parameters()) for model in (first, again, other)]
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0], vectors[2])


@pytest.mark.parametrize(
    ("changes", "complaints"),
    [
        ({"architecture": "Unett"}, ["there is no such architecture", "did you mean 'Unet'?", "FPN"]),
        ({"encoder": "resnet81"}, ["SMP has no such encoder", "did you mean 'resnet18'?"]),
        ({"encoder": "tu-resnett18"}, ["timm has no such encoder", "did you mean 'tu-resnet18'?"]),
        ({"architecture": "Unett", "encoder": "resnet81"}, ["no such architecture", "no such encoder"]),
        ({"encoder": "resnet18", "weights": "imagenett"}, ["SMP has no such weights", "imagenet, ssl, swsl"]),
        ({"encoder": "resnet18", "options": {"depth": 3}}, ["model.options.depth", "encoder_depth"]),
        ({"options": {"encoder_depth": 9}}, ["cannot be built", "depth"]),
        ({"options": {**SMALL.options, "activation": "sigmoid"}}, ["model.options.activation", "logits"]),
        ({"encoder": "resnet18", "options": {"activation": "softmax2d"}}, ["model.options.activation"]),
        ({"architecture": "nowhere.at_all:model"}, ["there is no module 'nowhere'"]),
        ({"architecture": "lossweep.trainers.models:bild_model"}, ["did you mean 'build_model'?"]),
        ({"architecture": "lossweep.trainers.models:building"}, ["cannot be built", "not callable"]),
    ],
)
def test_mistakes_are_named(changes: dict[str, object], complaints: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        build_model(SMALL.model_copy(update=changes), BINARY, 3, seed=0)
    for complaint in complaints:
        assert complaint in str(caught.value)


@pytest.mark.parametrize("activation", [None, "identity"])
def test_logits_may_be_asked_for(activation: str | None) -> None:
    options = {**SMALL.options, "activation": activation}
    model = build_model(SMALL.model_copy(update={"options": options}), BINARY, 3, seed=0)
    assert model.eval()(torch.randn(1, 3, 64, 64)).max() < 0


OWN = """
from torch import nn

def plain(in_channels, classes):
    return nn.Conv2d(in_channels, classes, 1)

def no_module(in_channels, classes):
    return 7

def failing(in_channels, classes):
    raise RuntimeError("this and that")
"""


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("no_module", "it returned int, not an nn.Module"), ("failing", "this and that")],
)
def test_own_factories_that_fail_are_named(
    name: str, complaint: str, importable: Callable[[str, str], None]
) -> None:
    importable("own_models", OWN)
    with pytest.raises(UserError, match=complaint):
        build_model(ModelSpec(architecture=f"own_models:{name}"), BINARY, 3, seed=0)


def test_own_models_bring_their_own_weights(importable: Callable[[str, str], None]) -> None:
    importable("own_models", OWN)
    with pytest.raises(UserError, match="loads its own weights"):
        build_model(ModelSpec(architecture="own_models:plain", weights="imagenet"), BINARY, 3, seed=0)


def test_weights_that_cannot_be_fetched_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object, **options: object) -> str:
        raise ConnectionError("no route to host\nand many more lines")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", unreachable)
    with pytest.raises(UserError) as caught:
        build_model(ModelSpec(encoder="resnet18", weights="imagenet"), BINARY, 3, seed=0)
    message = str(caught.value)
    assert (
        "the pretrained weights of resnet18 could not be loaded (ConnectionError: no route to host)"
        in message
    )
    assert "weights: null" in message
    assert "\n" not in message
