"""`examples/geospatial` against TorchGeo and TerraTorch.

Both are too heavy for the suite: stand-ins take their place that have the signatures of torchgeo 0.8.1 and
terratorch 1.2.13, compared with the packages themselves by hand, and return what those return.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.sources.imported import Imported
from lossweep.trainers.data.spec import ImportSource
from lossweep.trainers.models.building import build_model

FOLDER = Path(__file__).parents[1] / "examples" / "geospatial"


class LandCoverAI100:
    """Four chips a split, as TorchGeo returns them: float images of whole values, int64 masks."""

    def __init__(
        self,
        root: Any = "data",
        split: str = "train",
        transforms: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
        download: bool = False,
        checksum: bool = False,
    ) -> None:
        assert split in ("train", "val", "test")
        assert (root, transforms, download) == ("landcover", None, True)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (3, 32, 48), generator=generator).float()
        return {"image": image, "mask": torch.randint(0, 5, (32, 48), generator=generator)}


@dataclass
class ModelOutput:
    output: Tensor
    auxiliary_heads: dict[str, Tensor] | None = None


class PixelWiseModel(nn.Module):
    """As TerraTorch's: it drops the axis of a single channel."""

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Conv3d(bands, 4, (1, 3, 3), padding=(0, 1, 1))
        self.head = nn.Conv2d(4, classes, 1)

    def forward(self, x: Tensor, **kwargs: Any) -> ModelOutput:
        logits = self.head(self.body(x.unsqueeze(2)).squeeze(2))
        return ModelOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits)


class EncoderDecoderFactory:
    def build_model(
        self,
        task: str,
        backbone: str | nn.Module,
        decoder: str | nn.Module | None = None,
        backbone_kwargs: dict[str, Any] | None = None,
        decoder_kwargs: dict[str, Any] | None = None,
        head_kwargs: dict[str, Any] | None = None,
        num_classes: int | None = None,
        num_outputs: int | None = None,
        necks: list[dict[str, Any]] | None = None,
        aux_decoders: list[Any] | None = None,
        rescale: bool = True,
        image_size_out: tuple[int, int] | None = None,
        peft_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> nn.Module:
        assert task == "segmentation"
        assert num_classes is not None
        assert all(name.startswith(("backbone_", "decoder_", "head_")) for name in kwargs)
        return PixelWiseModel(len(kwargs["backbone_bands"]), num_classes)


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch) -> SweepSpec:
    """The example's sweep file, read where the stand-ins take the packages' place."""
    for name, stand_in in (
        ("torchgeo.datasets", LandCoverAI100),
        ("terratorch.models", EncoderDecoderFactory),
    ):
        module = ModuleType(name)
        setattr(module, stand_in.__name__, stand_in)
        monkeypatch.setitem(sys.modules, name.partition(".")[0], ModuleType(name.partition(".")[0]))
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("landcover_data", "terratorch_model"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    return SweepSpec.load(FOLDER / "landcover.yaml")


def test_torchgeos_chips_are_read_as_they_are(sweep: SweepSpec) -> None:
    assert isinstance(sweep.data, ImportSource)
    source = Imported(sweep.data)
    items = source.listing().items
    assert [item.split for item in items] == ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    decoded = source.decode(items[1])
    sample = LandCoverAI100("landcover", download=True)[1]
    assert decoded.image.dtype == "uint8", "no float that would have to be scaled"
    assert torch.equal(torch.from_numpy(decoded.image).permute(2, 0, 1), sample["image"].to(torch.uint8))
    assert torch.equal(torch.from_numpy(decoded.mask).long(), sample["mask"])


@pytest.mark.parametrize("classes", [2, 5])
def test_terratorchs_model_returns_logits(sweep: SweepSpec, classes: int) -> None:
    names = tuple(f"class_{place}" for place in range(classes))
    prior = ClassPrior(names=names, frequencies=(1.0 / classes,) * classes)
    model = build_model(sweep.model, prior, 3, seed=0, tile=32)
    logits = model(torch.rand(2, 3, 32, 48))
    assert logits.shape == (2, prior.channels, 32, 48)


def test_other_bands_than_the_images_have_are_the_users_mistake(sweep: SweepSpec) -> None:
    prior = ClassPrior(names=("background", "building"), frequencies=(0.9, 0.1))
    with pytest.raises(UserError, match="backbone_bands names 3 bands, but the images have 4"):
        build_model(sweep.model, prior, 4, seed=0, tile=32)
