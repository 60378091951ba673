"""Models by name or import path, their heads biased to the prior, their errors in the user's words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.models import bias_head, build_model, check_model
from lossweep.trainers.plan import ModelSpec

BINARY = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
THREE = ClassPrior(names=("background", "car", "truck"), frequencies=(0.9, 0.07, 0.03))
SMALL = ModelSpec(encoder="tu-test_resnet", options={"encoder_depth": 3, "decoder_channels": (32, 16, 16)})


@pytest.mark.parametrize("prior", [BINARY, THREE], ids=["binary", "three"])
@pytest.mark.parametrize("architecture", ["Unet", "fpn"])
def test_the_untrained_head_predicts_the_prior(prior: ClassPrior, architecture: str) -> None:
    options = SMALL.options if architecture == "Unet" else {"encoder_depth": 4}
    model = build_model(
        SMALL.model_copy(update={"architecture": architecture, "options": options}), prior, 3, seed=0
    )
    head = next(module for module in model.segmentation_head.modules() if isinstance(module, nn.Conv2d))
    nn.init.zeros_(head.weight)  # what is left is the bias
    logits = model.eval()(torch.randn(1, 3, 64, 64))
    shares = logits.sigmoid() if prior.is_binary else logits.softmax(dim=1)
    expected = prior.frequencies[1:] if prior.is_binary else prior.frequencies
    assert shares.mean(dim=(0, 2, 3)).tolist() == pytest.approx(expected, rel=1e-4)


def test_a_class_absent_from_training_stays_learnable() -> None:
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(1.0, 0.0))
    head = nn.Conv2d(4, 1, 1)
    assert bias_head(head, prior)
    assert head.bias is not None
    assert -20 < head.bias.item() < -10


def test_a_model_without_such_a_head_is_left_alone() -> None:
    assert not bias_head(nn.Sequential(nn.Conv2d(3, 7, 1), nn.Conv2d(7, 1, 1, bias=False)), BINARY)


def test_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (build_model(SMALL, BINARY, 3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    vectors = [nn.utils.parameters_to_vector(model.parameters()) for model in (first, again, other)]
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0], vectors[2])


@pytest.mark.parametrize("bands", [1, 3, 7])
def test_any_number_of_bands(bands: int) -> None:
    check_model(SMALL, THREE, bands, tile=64)


@pytest.mark.parametrize(
    ("changes", "complaints"),
    [
        ({"architecture": "Unett"}, ["there is no such architecture", "did you mean 'Unet'?", "FPN"]),
        ({"encoder": "resnet81"}, ["SMP has no such encoder", "did you mean 'resnet18'?"]),
        ({"encoder": "tu-resnett18"}, ["timm has no such encoder", "did you mean 'tu-resnet18'?"]),
        ({"architecture": "Unett", "encoder": "resnet81"}, ["no such architecture", "no such encoder"]),
        ({"encoder": "resnet18", "weights": "imagenett"}, ["SMP has no such weights", "imagenet, ssl, swsl"]),
        ({"encoder": "resnet18", "options": {"depth": 3}}, ["model.options.depth", "encoder_depth"]),
        ({"options": {"encoder_depth": 9}}, ["cannot be built or run", "depth"]),
        ({"architecture": "nowhere.at_all:model"}, ["there is no module 'nowhere'"]),
        ({"architecture": "lossweep.trainers.models:bild_model"}, ["did you mean 'build_model'?"]),
        ({"architecture": "lossweep.trainers.models:RAREST"}, ["cannot be built or run", "not callable"]),
    ],
)
def test_mistakes_are_named(changes: dict[str, object], complaints: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        check_model(SMALL.model_copy(update=changes), BINARY, 3)
    for complaint in complaints:
        assert complaint in str(caught.value)


OWN = """
import torch
from torch import nn

def plain(in_channels, classes):
    return nn.Conv2d(in_channels, classes, 1)

def reading(in_channels, classes):
    class Reading(nn.Conv2d):
        def forward(self, images):
            assert images.mean().item() < 1e9  # which the meta device cannot tell
            return super().forward(images)
    return Reading(in_channels, classes, 1)

def half(in_channels, classes):
    return nn.Conv2d(in_channels, classes, 2, stride=2)

def pair(in_channels, classes):
    class Pair(nn.Conv2d):
        def forward(self, images):
            return {"out": super().forward(images)}
    return Pair(in_channels, classes, 1)

def no_module(in_channels, classes):
    return 7

def failing(in_channels, classes):
    raise RuntimeError("this and that")
"""


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("plain", None),
        ("reading", None),
        ("half", r"returned \(2, 1, 32, 32\) for images of shape \(2, 3, 64, 64\)"),
        ("pair", "returned dict instead of a tensor"),
        ("no_module", "it returned int, not an nn.Module"),
        ("failing", "this and that"),
    ],
)
def test_own_models_are_checked(
    name: str, complaint: str | None, importable: Callable[[str, str], None]
) -> None:
    importable("own_models", OWN)
    spec = ModelSpec(architecture=f"own_models:{name}")
    if complaint is None:
        check_model(spec, BINARY, 3)
        return
    with pytest.raises(UserError, match=complaint):
        check_model(spec, BINARY, 3)


def test_own_models_bring_their_own_weights(importable: Callable[[str, str], None]) -> None:
    importable("own_models", OWN)
    with pytest.raises(UserError, match="loads its own weights"):
        check_model(ModelSpec(architecture="own_models:plain", weights="imagenet"), BINARY, 3)


def test_weights_that_cannot_be_fetched_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object, **options: object) -> str:
        raise ConnectionError("no route to host\nand many more lines")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", unreachable)
    with pytest.raises(UserError) as caught:
        check_model(ModelSpec(encoder="resnet18", weights="imagenet"), BINARY, 3)
    message = str(caught.value)
    assert (
        "the pretrained weights of resnet18 could not be loaded (ConnectionError: no route to host)"
        in message
    )
    assert "weights: null" in message
    assert "\n" not in message
