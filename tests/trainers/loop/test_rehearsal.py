"""What a model can't do is found before any training, whichever pass it is that fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.spec import SplitName
from lossweep.trainers.loop import rehearsal
from lossweep.trainers.loop.rehearsal import Rehearsed, rehearse_model
from lossweep.trainers.plan import ModelSpec, TrainingSpec

BINARY = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
THREE = ClassPrior(names=("background", "car", "truck"), frequencies=(0.9, 0.07, 0.03))
SMALL = ModelSpec(encoder="tu-test_resnet", options={"encoder_depth": 3, "decoder_channels": (32, 16, 16)})
FIXED = ModelSpec(
    encoder="tu-swin_tiny_patch4_window7_224",
    options={"encoder_depth": 4, "decoder_channels": [64, 32, 16, 16]},
)
Sizes = Mapping[SplitName, list[tuple[int, int]]]


def rehearsed(
    spec: ModelSpec,
    tile: int = 64,
    evaluated: Sizes | None = None,
    prior: ClassPrior = BINARY,
    **training: int,
) -> Rehearsed:
    settings = TrainingSpec.model_validate({"batch": 4, **training})
    return rehearse_model(spec, settings, prior, 3, tile, evaluated)


def complaint(spec: ModelSpec, tile: int = 64, evaluated: Sizes | None = None, **training: int) -> str:
    with pytest.raises(UserError) as caught:
        rehearsed(spec, tile, evaluated, **training)
    return str(caught.value)


def test_a_sound_model_passes() -> None:
    sizes: Sizes = {"val": [(64, 64), (250, 301), (2000, 1500)], "test": []}
    assert rehearsed(SMALL, evaluated=sizes, prior=THREE) == Rehearsed(least_micro_batch=2)


@pytest.mark.parametrize("bands", [1, 3, 7])
def test_any_number_of_bands(bands: int) -> None:
    rehearse_model(SMALL, TrainingSpec(), THREE, bands, 64)


def test_a_tile_that_an_architecture_cannot_take_names_the_nearest_that_would_do() -> None:
    found = complaint(ModelSpec(architecture="PAN"))
    assert found.startswith("data.tile: can't be trained on 4 crops of 64 x 64 pixels")
    assert found.endswith("found PAN with encoder resnet18; a tile of 128 would do")
    assert complaint(FIXED, tile=256).endswith("a tile of 224 would do")


def test_evaluated_images_that_an_encoder_cannot_take_are_named() -> None:
    sizes: Sizes = {"val": [(224, 224), (250, 270)], "test": [(224, 224), (64, 64), (100, 90)]}
    val, test = complaint(FIXED, 224, sizes).splitlines()[-2:]
    assert "can't be evaluated on the images of val of 270 x 250 pixels, padded to 288 x 256" in val
    assert "Input height (256) doesn't match model (224)" in val
    assert "model.options.dynamic_img_size: true lets this encoder take other sizes" in val
    assert "the images of test of 64 x 64 pixels: " in test
    assert "and 1 other sizes likewise" in test
    any_size = FIXED.model_copy(update={"options": {**FIXED.options, "dynamic_img_size": True}})
    rehearsed(any_size, 224, sizes)


def test_windows_of_large_images_are_rehearsed() -> None:
    found = complaint(FIXED, 224, {"val": [(1984, 1984)]})
    assert "images of val of 1984 x 1984 pixels, in windows of " in found


def test_images_smaller_than_an_architecture_takes_are_named() -> None:
    found = complaint(ModelSpec(architecture="PAN"), 128, {"val": [(128, 128)], "test": [(64, 64)]})
    assert "can't be evaluated on the images of test of 64 x 64 pixels: RuntimeError" in found
    assert found.endswith("it takes images of 128 x 128 pixels: cut them to that size")


def test_a_single_image_that_is_normalized_over_the_batch_is_named() -> None:
    deeplab = ModelSpec(architecture="DeepLabV3")
    found = complaint(deeplab, batch=1, accumulate=4)
    assert found.startswith("training.batch: can't be trained on 1 crop of 64 x 64 pixels")
    assert found.endswith("give it a batch of 2 or more")
    rehearsed(ModelSpec(architecture="Linknet"), batch=1)


@pytest.mark.parametrize(("batch", "least"), [(2, 2), (4, 2), (5, 5), (6, 3), (7, 3)])
def test_a_retry_comes_down_to_what_can_be_trained(batch: int, least: int) -> None:
    """By halves 2 is cut into 1 and 1, 5 into 2, 2 and 1, which is one too few; 7 into 3, 2 and 2."""
    found = rehearsed(ModelSpec(architecture="DeepLabV3"), batch=batch)
    assert found.least_micro_batch == least
    assert bool(found.suspicions) is (least == batch)
    for line in found.suspicions:
        assert f"not tried again with half the batch of {batch}" in line
        assert "can't be trained on 1 crop of 64 x 64 pixels in one pass (ValueError: Expected more" in line


def test_of_very_many_sizes_each_height_and_width_is_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[int, int]] = set()

    def noted(self: Any, shape: rehearsal.Shape, training: bool = False) -> str:
        seen.add((shape.height, shape.width))
        return ""

    monkeypatch.setattr(rehearsal._Stage, "complaint", noted)
    sizes = [(32 * row, 32 * column) for row in range(3, 23) for column in range(1, 21)]
    rehearsed(SMALL, evaluated={"val": sizes})
    assert {height for height, _ in seen} >= {height for height, _ in sizes}
    assert {width for _, width in seen} >= {width for _, width in sizes}
    assert len(seen) < 64


OWN = """
from torch import nn

class Net(nn.Conv2d):
    training_passes = []

    def __init__(self, in_channels, classes, change=lambda images: images):
        super().__init__(in_channels, classes, 1)
        self.change = change

    def forward(self, images):
        if self.training and images.device.type == "cpu":
            Net.training_passes.append(len(images))
        return self.change(super().forward(images))

def plain(in_channels, classes):
    return Net(in_channels, classes)

def reading(in_channels, classes):
    def read(logits):
        assert logits.mean().item() < 1e9  # which the meta device cannot tell
        return logits
    return Net(in_channels, classes, read)

def half(in_channels, classes):
    return Net(in_channels, classes, lambda logits: logits[..., ::2, ::2])

def pair(in_channels, classes):
    return Net(in_channels, classes, lambda logits: {"out": logits})

def squeezing(in_channels, classes):
    return Net(in_channels, classes, lambda logits: logits.squeeze(0))

def sigmoid(in_channels, classes):
    return Net(in_channels, classes, lambda logits: logits.sigmoid())

def failing_late(in_channels, classes):
    def large(logits):
        if logits.shape[-1] > 64:
            raise ArithmeticError("too wide")
        return logits
    return Net(in_channels, classes, large)
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", None),
        ("reading", None),
        ("half", "it returned (4, 1, 32, 32) for images of shape (4, 3, 64, 64)"),
        ("pair", "it returned dict instead of a tensor"),
        # A pass over the last of the images may hold a single one.
        ("squeezing", "can't be evaluated on the images of val of 64 x 64 pixels: it returned (1, 64, 64)"),
        ("failing_late", "val of 96 x 64 pixels: ArithmeticError: too wide"),
    ],
)
def test_own_models_are_rehearsed(
    name: str, expected: str | None, importable: Callable[[str, str], None]
) -> None:
    importable("own_rehearsed", OWN)
    spec, sizes = ModelSpec(architecture=f"own_rehearsed:{name}"), [(64, 64), (64, 96)]
    if expected is None:
        assert rehearsed(spec, evaluated={"val": sizes}) == Rehearsed(least_micro_batch=2)
    else:
        assert expected in complaint(spec, evaluated={"val": sizes})


def test_a_model_that_returns_probabilities_is_suspicious(importable: Callable[[str, str], None]) -> None:
    importable("own_rehearsed", OWN)
    for prior in (BINARY, THREE):
        (line,) = rehearsed(ModelSpec(architecture="own_rehearsed:sigmoid"), prior=prior).suspicions
        assert line.startswith("model: what own_rehearsed:sigmoid returns stays within 0 and 1")
