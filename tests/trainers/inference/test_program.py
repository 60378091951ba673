"""A model as one computation: it gives what the model itself gives, and needs none of its code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.crops.normalization import Normalization
from lossweep.trainers.inference.program import save_program, whole_images
from lossweep.trainers.plan import ModelSpec
from tests.trainers.inference.models import BYTES, NEAR, untrained

FLOATS = Normalization(
    mean=(30_000.0, 20_000.0, 9_000.0),
    std=(9_000.0, 8_000.0, 7_000.0),
    dtype="uint16",
    ranges=((-1.0, 1.0), (0.0, 3.0), (2.0, 2.5)),
)
BRANCHING = ModelSpec(architecture="tests.trainers.inference.test_program:Branching")


class Branching(nn.Module):
    """No graph holds both of its ways."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(in_channels, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.layer(images)
        return found if float(images.sum()) > 0 else -found


def images_of(normalization: Normalization, count: int, height: int, width: int) -> NDArray[np.generic]:
    chance = np.random.default_rng(count)
    if not normalization.ranges:
        return chance.integers(0, 256, (count, height, width, 3), np.uint8)
    low, high = np.array(normalization.ranges, np.float32).T
    images = chance.uniform(low - 0.1, high + 0.1, (count, height, width, 3)).astype(np.float32)
    images[0, 0, :3, 0] = np.nan, np.inf, -np.inf
    return images


@pytest.mark.parametrize("normalization", [BYTES, FLOATS], ids=["bytes", "floats"])
def test_it_scales_normalizes_and_pads_as_the_model_in_use(normalization: Normalization) -> None:
    segmenter = untrained(normalization=normalization)
    images = images_of(normalization, 2, 41, 100)
    with torch.no_grad():
        shown = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)
        found = whole_images(segmenter)(shown).numpy()
    np.testing.assert_allclose(found, np.stack(segmenter.logits(list(images))), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("model", [NEAR, untrained().spec.model], ids=["own", "smp"])
def test_a_program_gives_the_same_logits_bit_for_bit(model: ModelSpec, tmp_path: Path) -> None:
    segmenter = untrained(model=model)
    save_program(segmenter, tmp_path / "program.pt2")
    program = torch.export.load(tmp_path / "program.pt2").module()
    plain = segmenter.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for shape in ((1, 3, 32, 32), (3, 3, 96, 224)):
        images = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert torch.equal(program(images), plain(images))


def test_what_no_program_can_be_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"torch can't export .*Branching as a program") as raised:
        save_program(untrained(model=BRANCHING), tmp_path / "program.pt2")
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "program.pt2").exists()
