"""What a model is shown of an image is the same in an evaluation and afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from lossweep.trainers.data.crops.normalization import Normalization
from lossweep.trainers.data.loading import load_data, open_source
from lossweep.trainers.data.spec import FolderSource

KINDS: dict[str, Any] = {
    "uint8": lambda random: random.integers(0, 256, (40, 50, 4)),
    "uint16": lambda random: random.integers(0, 65536, (40, 50, 2)),
    "float32": lambda random: random.normal(3.0, 100.0, (40, 50, 2)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_normalized_as_the_evaluations_do_it(kind: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for folder in ("images", "masks"):
            (tmp_path / "data" / split / folder).mkdir(parents=True)
        for name in ("a", "b"):
            image = KINDS[kind](random).astype(kind)
            place = tmp_path / "data" / split / "images" / f"{name}.tif"
            tifffile.imwrite(place, image, planarconfig="contig", photometric="minisblack")
            tifffile.imwrite(
                tmp_path / "data" / split / "masks" / f"{name}.tif",
                random.integers(0, 2, (40, 50)).astype(np.uint8),
            )
    spec = FolderSource(source="folder", root=str(tmp_path / "data"), tile=32)
    data = load_data(spec, tmp_path / "cache")
    normalization = data.val.normalization
    assert (normalization.kind, len(normalization.ranges)) == (kind, 2 * (kind == "float32"))
    assert Normalization.model_validate_json(normalization.model_dump_json()) == normalization
    (batch,) = data.val.evaluation_batches(8, "cpu")
    source = open_source(spec)
    items = source.listing().of("val")
    assert len(items) == len(batch)
    for item, image in zip(items, batch.images, strict=True):
        ours = normalization.normalized(source.decode(item).image)
        assert ours.dtype == torch.float32
        assert torch.equal(ours.permute(2, 0, 1), image[:, :40, :50])
        assert ours.std() > 0.5, "else all could be lost"
